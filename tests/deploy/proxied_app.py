"""An app that says how it sees its clients: run as a program it prints its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hocket import App, Socket

app = App()
steps: asyncio.Queue[str] = asyncio.Queue()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("user", "nobody"))
    socket.emit("seen", socket.handshake.address, socket.handshake.secure)


@app.on("disconnect")
def disconnect(socket: Socket, reason: str) -> None:
    app.emit("gone", socket.user, reason)


@app.on("echo")
def echo(socket: Socket, *args: Any) -> list[Any]:
    return [socket.user, *args]


@app.on("join")
def join(socket: Socket, room: str) -> str:
    socket.join(room)
    return "in"


@app.on("fill")
def fill(socket: Socket, room: str, size: int) -> str:
    """Many bytes to everybody in a room."""
    app.to(room).emit("filling", "x" * size)
    return "sent"


@app.on("tell")
def tell(socket: Socket, text: str) -> None:
    app.emit("told", text)


@app.get("/who")
async def who(request: Any) -> list[Any]:
    return [request.client.host, request.url.scheme]


@app.get("/metrics")
def metrics() -> str:
    return "inner numbers"


@app.post("/size")
async def size(request: Any) -> int:
    return len(await request.body())


@app.get("/large")
def large() -> bytes:
    return b"x" * 900_000


@app.get("/steps")
async def stream(request: Any) -> Any:
    """Server-Sent Events: one at once, and one for each POST /steps, until that says "end"."""
    from starlette.responses import StreamingResponse

    async def events() -> AsyncIterator[str]:
        yield "data: begin\n\n"
        while (step := await steps.get()) != "end":
            yield f"data: {step}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/steps")
async def step(request: Any) -> None:
    steps.put_nowait((await request.body()).decode())


if __name__ == "__main__":
    app.run()
