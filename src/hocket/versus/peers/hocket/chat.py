"""A chat in rooms: `join` and `leave` a room, `message` to its members."""

import sys
from time import time
from typing import Any

from pauses import pauses

from hocket import App, Socket

app = App(origins="*")
app.get("/pauses")(pauses)


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth["user"]


@app.on("join")
def join(socket: Socket, room: str) -> None:
    socket.join(room)


@app.on("leave")
def leave(socket: Socket, room: str) -> None:
    socket.leave(room)


@app.on("message")
def message(socket: Socket, data: dict[str, Any]) -> None:
    line = {"user": socket.user, "text": data["text"], "timestamp": int(time() * 1000)}
    app.to(data["room"]).emit("message", line)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
