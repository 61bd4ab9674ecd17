// A chat in rooms over WebSocket: `join` and `leave` a room, `message` to its members.
//
// As gorilla's chat example: a goroutine that reads and one that writes for every user, slow readers dropped, a message
// prepared once for all of its receivers.
package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"versus/serving"

	"github.com/gorilla/websocket"
)

type event struct {
	Event     string `json:"event"`
	Room      string `json:"room,omitempty"`
	User      string `json:"user,omitempty"`
	Text      string `json:"text,omitempty"`
	Timestamp int64  `json:"timestamp,omitempty"`
}

type client struct {
	connection *websocket.Conn
	user       string
	send       chan *websocket.PreparedMessage
	rooms      map[string]bool
}

type hub struct {
	sync.RWMutex
	rooms map[string]map[*client]bool
}

var (
	chat     = hub{rooms: map[string]map[*client]bool{}}
	upgrader = websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true },
	}
)

func (h *hub) join(c *client, room string) {
	h.Lock()
	defer h.Unlock()
	if h.rooms[room] == nil {
		h.rooms[room] = map[*client]bool{}
	}
	h.rooms[room][c] = true
	c.rooms[room] = true
}

func (h *hub) leave(c *client, room string) {
	h.Lock()
	defer h.Unlock()
	delete(h.rooms[room], c)
	if len(h.rooms[room]) == 0 {
		delete(h.rooms, room)
	}
	delete(c.rooms, room)
}

func (h *hub) broadcast(room string, e event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, data)
	if err != nil {
		return err
	}
	h.RLock()
	defer h.RUnlock()
	for member := range h.rooms[room] {
		select {
		case member.send <- message:
		default: // a slow reader
			member.connection.Close()
		}
	}
	return nil
}

func (c *client) write() {
	defer c.connection.Close()
	for message := range c.send {
		if c.connection.WritePreparedMessage(message) != nil {
			break
		}
	}
	for range c.send { // until the reader has seen that it is over
	}
}

func (c *client) read() {
	defer func() {
		for room := range c.rooms {
			chat.leave(c, room)
		}
		close(c.send)
	}()
	for {
		var e event
		if c.connection.ReadJSON(&e) != nil {
			return
		}
		switch e.Event {
		case "join":
			chat.join(c, e.Room)
		case "leave":
			chat.leave(c, e.Room)
		case "message":
			chat.broadcast(e.Room, event{"message", "", c.user, e.Text, time.Now().UnixMilli()})
		}
	}
}

func main() {
	http.HandleFunc("GET /pauses", serving.Pauses)
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		connection, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &client{connection, "ada", make(chan *websocket.PreparedMessage, 256), map[string]bool{}}
		go c.write()
		go c.read() // not in this goroutine: it would keep the request and its buffers alive
	})
	panic(http.Serve(serving.Listen("chat"), nil))
}
