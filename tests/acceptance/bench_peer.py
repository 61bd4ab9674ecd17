"""python-socketio on aiohttp, with the server's side of `hocket bench`: somebody else's server."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")


async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    for room in auth["rooms"]:
        await server.enter_room(sid, room)


async def echo(sid: str, message: str) -> None:
    await server.emit("echo", message, to=sid)


async def to_all(sid: str, message: str) -> None:
    await server.emit("all", message, room="everybody")


async def to_room(sid: str, room: str, message: str) -> None:
    await server.emit("room", message, room=room)


async def serve() -> None:
    for event, handler in (
        ("connect", connect), ("echo", echo), ("all", to_all), ("room", to_room)
    ):  # fmt: skip
        server.on(event, handler)
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"Hocket serves http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
