"""Hocket: each client has a user and two rooms; `go` sends one message of 120 bytes to all."""

import sys
import time
from typing import Any

from hocket import App, Socket

app = App(origins="*")
joined = 0


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    global joined
    socket.user = str(auth["user"])
    socket.join("general", f"room-{joined // 50}")
    joined += 1


@app.on("go")
def go(socket: Socket, text: str) -> None:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@".ljust(96, "x")})


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
