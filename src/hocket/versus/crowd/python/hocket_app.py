"""Hocket: each client has a user and two rooms; `go` sends one message of 121 bytes to all
(`large`: 16 KiB), `room` one to the client's room of 50, `echo` is answered. A page at `/`; over
SSE, where clients only listen, `/go` asks for the broadcast.

`--processes N` serves with so many workers. `--busy` starts a thread that computes in pure Python
all the time; `--compress` agrees to permessage-deflate.

python hocket_app.py PORT [--processes N] [--busy] [--compress]
"""

import sys
import time
from typing import Any

from asked import processes
from busy import start_if_asked

from hocket import App, Socket

SIZES = {"large": 16_384}  # of an event's text

app = App(origins="*", compression="--compress" in sys.argv, workers=processes())


def stamped(size: int = 96) -> dict[str, str]:
    return {"text": f"@@{time.monotonic_ns()}@@".ljust(size, "x")}


def room_of(user: str) -> str:
    """Of 50 users each, as the loads number them."""
    return f"room-{int(user[5:]) // 50}"


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth["user"]
    socket.join("general", room_of(socket.user))


@app.on("go")
def go(socket: Socket, how: str) -> None:
    app.to("general").emit("message", stamped(SIZES.get(how, 96)))


@app.on("room")
def room(socket: Socket, text: str) -> None:
    app.to(room_of(socket.user)).emit("message", stamped())


@app.on("echo")
async def echo(socket: Socket, data: dict[str, str]) -> None:
    socket.emit("echo", data)


@app.get("/")
def hello() -> str:
    return "Hello from Hocket!"


@app.get("/go")
def broadcast() -> str:
    app.to("general").emit("message", stamped())
    return "sent"


if __name__ == "__main__":
    start_if_asked()
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
