"""A chat in rooms with python-socketio and FastAPI: `join` and `leave` a room, `message` to its
members.
"""

import time
from typing import Any

import socketio
from fastapi import FastAPI
from pauses import pauses
from serving import serve

app = FastAPI()
app.get("/pauses")(pauses)
chat = socketio.AsyncServer(async_mode="asgi", http_compression=False, cors_allowed_origins="*")


@chat.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    await chat.save_session(sid, {"user": auth["user"]})


@chat.event
async def join(sid: str, room: str) -> None:
    await chat.enter_room(sid, room)


@chat.event
async def leave(sid: str, room: str) -> None:
    await chat.leave_room(sid, room)


@chat.event
async def message(sid: str, data: dict[str, Any]) -> None:
    user = (await chat.get_session(sid))["user"]
    line = {"user": user, "text": data["text"], "timestamp": int(time.time() * 1000)}
    await chat.emit("message", line, room=data["room"])


if __name__ == "__main__":
    serve("chat", socketio.ASGIApp(chat, app))
