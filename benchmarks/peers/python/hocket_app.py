"""Hocket: each client has a user and two rooms; `go` sends one message of 121 bytes to all, `echo`
is answered. A page at `/`; over SSE, where clients only listen, `/go` asks for the broadcast.

`--busy` starts a thread that computes in pure Python all the time; `--compress` agrees to
permessage-deflate.

python benchmarks/peers/python/hocket_app.py PORT [--busy] [--compress]
"""

import sys
import time
from itertools import count
from typing import Any

from busy import start_if_asked

from hocket import App, Socket

app = App(origins="*", compression="--compress" in sys.argv)
numbers = count()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("user", ""))
    socket.join("general", f"room-{next(numbers) // 50}")


@app.on("go")
def go(socket: Socket, text: str) -> None:
    broadcast()


@app.on("echo")
async def echo(socket: Socket, data: dict[str, str]) -> None:
    socket.emit("echo", data)


@app.get("/")
def hello() -> str:
    return "Hello from Hocket!"


@app.get("/go")
def broadcast() -> str:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@".ljust(96, "x")})
    return "sent"


if __name__ == "__main__":
    start_if_asked()
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
