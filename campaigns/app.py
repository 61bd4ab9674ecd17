"""The server of the campaigns: everybody hears what anybody shouts."""

from __future__ import annotations

import asyncio
from typing import Any

from hocket import App, Socket

app = App()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = f"user-{auth.get('number')}"
    socket.join("everybody", "probes" if auth.get("probe") else "others")


@app.on("shout")
def shout(socket: Socket, room: str, stream: int, number: int) -> None:
    app.to(room).emit("shouted", stream, number)


@app.on("echo")
async def echo(socket: Socket, number: int) -> int:
    return number


@app.on("slow")
async def slow(socket: Socket, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


if __name__ == "__main__":
    app.run()
