// Centrifuge, the library: each client has a user and two channels; the RPC `go` publishes one message to all.
//
// As its documentation advises for many clients: write buffers pooled, no compression. Nothing is gathered before it is
// written (WriteDelay), because that would be part of the time to the last client.
package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"benchmarks/common"

	"github.com/centrifugal/centrifuge"
)

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	var joined atomic.Int64
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		number := joined.Add(1) - 1
		return centrifuge.ConnectReply{
			Credentials: &centrifuge.Credentials{UserID: fmt.Sprintf("user-%d", number)},
			Subscriptions: map[string]centrifuge.SubscribeOptions{
				"general":                         {},
				fmt.Sprintf("room-%d", number/50): {},
			},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnRPC(func(_ centrifuge.RPCEvent, answer centrifuge.RPCCallback) {
			// 64 characters: with the envelope of its protocol, {"push":{"channel":"general","pub":{"data": ...}}}, that is 120 bytes
			_, err := node.Publish("general", []byte(fmt.Sprintf(`{"text":"%s"}`, common.Stamped(58))))
			answer(centrifuge.RPCReply{}, err)
		})
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:        func(*http.Request) bool { return true },
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
	}))
	common.Serve("centrifuge", mux)
}
