// A TCP proxy: every connection is joined to one of its own behind it.
package main

import (
	"io"
	"net"

	"versus/serving"
)

func join(client net.Conn, backend string) {
	defer client.Close()
	server, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(server, client)
	io.Copy(client, server)
}

func main() {
	listener, backend := serving.Listen("proxy"), "127.0.0.1:"+serving.Arg(2, "0")
	for {
		client, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go join(client, backend)
	}
}
