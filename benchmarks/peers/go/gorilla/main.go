// Go with gorilla/websocket: `go` sends one message of 120 bytes to all, anything else is echoed. Each client has a user
// and two rooms.
//
// As its documentation and its chat example advise: two goroutines a user, one that reads and one that writes from a
// channel, the write buffers pooled, and a broadcast as a PreparedMessage.
package main

import (
	"fmt"
	"net/http"
	"sync"

	"benchmarks/common"

	"github.com/gorilla/websocket"
)

type client struct {
	connection *websocket.Conn
	user       string
	rooms      [2]string
	send       chan *websocket.PreparedMessage
	echoes     chan []byte
}

type hub struct {
	sync.RWMutex
	joined int
	rooms  map[string]map[*client]struct{}
}

var (
	clients  = hub{rooms: map[string]map[*client]struct{}{}}
	upgrader = websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true },
	}
)

func (h *hub) join(c *client) {
	h.Lock()
	defer h.Unlock()
	c.user = fmt.Sprintf("user-%d", h.joined)
	c.rooms = [2]string{"general", fmt.Sprintf("room-%d", h.joined/50)}
	h.joined++
	for _, name := range c.rooms {
		if h.rooms[name] == nil {
			h.rooms[name] = map[*client]struct{}{}
		}
		h.rooms[name][c] = struct{}{}
	}
}

func (h *hub) leave(c *client) {
	h.Lock()
	defer h.Unlock()
	for _, name := range c.rooms {
		delete(h.rooms[name], c)
	}
	close(c.send)
}

// broadcast drops whoever has 16 messages waiting, as the chat example does with its slow readers.
func (h *hub) broadcast(room string, message *websocket.PreparedMessage) {
	h.RLock()
	defer h.RUnlock()
	for member := range h.rooms[room] {
		select {
		case member.send <- message:
		default:
			member.connection.Close()
		}
	}
}

func (c *client) write() {
	for {
		var err error
		select {
		case message, open := <-c.send:
			if !open {
				return
			}
			err = c.connection.WritePreparedMessage(message)
		case data := <-c.echoes:
			err = c.connection.WriteMessage(websocket.TextMessage, data)
		}
		if err != nil {
			c.connection.Close()
		}
	}
}

func (c *client) read() {
	defer clients.leave(c)
	for {
		_, data, err := c.connection.ReadMessage()
		if err != nil {
			return
		}
		if string(data) != "go" {
			c.echoes <- data
			continue
		}
		text := []byte(fmt.Sprintf(`{"event":"m","text":"%s"}`, common.Stamped(96)))
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
		if err != nil {
			panic(err)
		}
		clients.broadcast("general", message)
	}
}

func main() {
	common.Serve("gorilla", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &client{
			connection: connection,
			send:       make(chan *websocket.PreparedMessage, 16),
			echoes:     make(chan []byte),
		}
		clients.join(c)
		go c.write()
		go c.read() // not in this goroutine: it would keep the request and its buffers alive
	}))
}
