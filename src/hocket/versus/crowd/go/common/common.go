// Package common has what all these servers share: the clock in a broadcast, and where they serve.
package common

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

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

// Listen listens on 127.0.0.1 and the port in the first argument, which other processes may share.
func Listen() net.Listener {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			Must(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		})
	}}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:"+port)
	Must(err)
	return listener
}

// Announce says where it serves.
func Announce(name string, listener net.Listener) {
	fmt.Printf("%s serves http://%s\n", name, listener.Addr())
}

// Serve listens and serves in one process.
func Serve(name string, handler http.Handler) {
	listener := Listen()
	Announce(name, listener)
	panic(http.Serve(listener, handler))
}

// Must panics for an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}
