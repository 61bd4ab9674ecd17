// Go with gorilla/websocket: `go` sends one message of 120 bytes to all, `large` one of 16 KiB, `room` one to the client's
// room of 50, anything else is echoed. Each client has a user and two rooms.
//
// As its documentation and its chat example advise: two goroutines a user, one that reads and one that writes from a
// channel, the write buffers pooled, and a broadcast as a PreparedMessage.
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
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
	rooms map[string]map[*client]struct{}
}

var (
	clients   = hub{rooms: map[string]map[*client]struct{}{}}
	processes common.Processes
	upgrader  = websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true },
	}
)

func (h *hub) join(c *client) {
	h.Lock()
	defer h.Unlock()
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

// deliver drops whoever has 16 messages waiting, as the chat example does with its slow readers. A message of another process
// is the name of the room, a line end, and the text.
func (h *hub) deliver(told []byte) {
	room, text, _ := bytes.Cut(told, []byte("\n"))
	h.broadcast(string(room), bytes.Clone(text))
}

func (h *hub) broadcast(room string, text []byte) {
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		panic(err)
	}
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
		switch string(data) {
		case "go":
			say(c.rooms[0], 96)
		case "large":
			say(c.rooms[0], 16384)
		case "room":
			say(c.rooms[1], 96)
		default:
			c.echoes <- data
		}
	}
}

func say(room string, size int) {
	text := fmt.Sprintf(`{"event":"m","text":"%s"}`, common.Stamped(size))
	processes.Spread([]byte(room + "\n" + text))
	clients.broadcast(room, []byte(text))
}

// roomOf is a client's room beside "general": of 50 users each, as the loads number them.
func roomOf(user string) string {
	number, _ := strconv.Atoi(strings.TrimPrefix(user, "user-"))
	return fmt.Sprintf("room-%d", number/50)
}

func main() {
	processes.Start("gorilla", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		user := r.URL.Query().Get("user")
		c := &client{
			user:       user,
			rooms:      [2]string{"general", roomOf(user)},
			connection: connection,
			send:       make(chan *websocket.PreparedMessage, 16),
			echoes:     make(chan []byte),
		}
		clients.join(c)
		go c.write()
		go c.read() // not in this goroutine: it would keep the request and its buffers alive
	}), clients.deliver)
}
