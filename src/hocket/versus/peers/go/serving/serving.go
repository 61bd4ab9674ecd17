// Package serving has what is no part of a program's idea: where it listens, and what the measurement asks of it.
package serving

import (
	"fmt"
	"net"
	"os"
)

// Arg returns an argument of the command line, or what stands in for it.
func Arg(number int, otherwise string) string {
	if len(os.Args) > number {
		return os.Args[number]
	}
	return otherwise
}

// Listen takes the port in the first argument and says where it serves.
func Listen(name string) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:"+Arg(1, "0"))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s serves http://%s\n", name, listener.Addr())
	return listener
}
