// Go's net/http: a page at `/`; Server-Sent Events at `/events`, and `/go` sends one event to all of their clients.
package main

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"benchmarks/common"
)

var (
	lock      sync.RWMutex
	listeners = map[chan []byte]struct{}{}
)

func subscribe(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, 16)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	lock.Lock()
	listeners[events] = struct{}{}
	lock.Unlock()
	defer func() {
		lock.Lock()
		delete(listeners, events)
		lock.Unlock()
	}()
	response := http.NewResponseController(w)
	response.Flush()
	for {
		select {
		case event := <-events:
			w.Write(event)
			response.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func broadcast(w http.ResponseWriter, r *http.Request) {
	event := []byte(fmt.Sprintf("event: message\ndata: [{\"text\":%q}]\n\n", common.Stamped(96)))
	lock.RLock()
	defer lock.RUnlock()
	for listener := range listeners {
		select {
		case listener <- event:
		default: // a slow reader misses it
		}
	}
	io.WriteString(w, "sent")
}

func main() {
	http.HandleFunc("GET /events", subscribe)
	http.HandleFunc("GET /go", broadcast)
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello from Go!")
	})
	common.Serve("net/http", http.DefaultServeMux)
}
