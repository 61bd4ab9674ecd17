// Package common has what all these servers share: the clock in a broadcast, and where they serve.
package common

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Stamped returns text of a length that begins with the monotonic clock, from which the load counts.
func Stamped(length int) string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	stamp := fmt.Sprintf("@@%d@@", now.Nano())
	return stamp + strings.Repeat("x", max(0, length-len(stamp)))
}

// Serve listens on 127.0.0.1 and the port in the first argument.
func Serve(name string, handler http.Handler) {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s serves http://%s\n", name, listener.Addr())
	panic(http.Serve(listener, handler))
}
