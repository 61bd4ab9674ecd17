"""Hocket: each client has a user and two rooms; `go` sends one message of 121 bytes to all.

python benchmarks/peers/hocket_app.py PORT
"""

import sys
import time
from itertools import count
from typing import Any

from hocket import App, Socket

app = App(origins="*")
numbers = count()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("user", ""))
    socket.join("general", f"room-{next(numbers) // 50}")


@app.on("go")
def go(socket: Socket, text: str) -> None:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@".ljust(96, "x")})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
