"""python-socketio on uvicorn: each client has a user and two rooms; `go` sends one message of 121
bytes to all, `echo` is answered.

As both documentations advise: ASGI mode on uvicorn with uvloop and httptools, no compression, no
access log.

python socketio_app.py PORT
"""

import sys
import time
from itertools import count
from typing import Any

import serving
import socketio

server = socketio.AsyncServer(async_mode="asgi", http_compression=False, cors_allowed_origins="*")
numbers = count()


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    await server.save_session(sid, {"user": auth.get("user", "")})
    await server.enter_room(sid, "general")
    await server.enter_room(sid, f"room-{next(numbers) // 50}")


@server.event
async def go(sid: str, text: str) -> None:
    text = f"@@{time.monotonic_ns()}@@".ljust(96, "x")
    await server.emit("message", {"text": text}, room="general")


@server.event
async def echo(sid: str, data: dict[str, Any]) -> None:
    await server.emit("echo", data, to=sid)


if __name__ == "__main__":
    serving.serve("python-socketio", socketio.ASGIApp(server), int(sys.argv[1]))
