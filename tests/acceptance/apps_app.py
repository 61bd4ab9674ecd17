"""An app with FastAPI and Flask, for tests of `app_processes`: each answer says who gave it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from flask import Flask

from hocket import App, Socket

FOLDER = os.environ.get("HOCKET_TEST_FOLDER", "")
VERSION = 1
app = App()


def note(text: str) -> None:
    with (Path(FOLDER) / "notes").open("a") as notes:
        print(text, os.getpid(), file=notes)


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth.get("user", "")
    socket.join("kitchen")


@app.on("who")
def who(socket: Socket) -> int:
    return os.getpid()


@app.get("/pid")
def pid() -> list[int]:
    return [os.getpid(), threading.active_count()]


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[dict[str, Any]]:
    note("up")
    yield {"database": "open"}
    note("down")


api = FastAPI(lifespan=lifespan)


@api.get("/pid")
async def api_pid(request: Request) -> list[Any]:
    client = request.client.host if request.client else ""
    return [os.getpid(), request.state.database, client, VERSION]


@app.get("/api/ours")
def ours() -> int:
    return os.getpid()


@api.post("/say/{text}")
def say(text: str) -> int:
    app.to("kitchen").emit("said", text)  # from a thread of FastAPI's
    return os.getpid()


@api.get("/users")
async def users() -> list[str]:
    return sorted(each.user for each in await app.sockets())


@api.get("/ask")
async def ask() -> list[Any]:
    return sorted(await app.call("ask", timeout=5))


@api.post("/move/{user}")
async def move(user: str) -> None:
    for each in await app.sockets():
        if each.user == user:
            each.leave("kitchen")
            app.to(each.id).join("hall")
    app.to("hall").emit("said", f"{user} is in the hall")


@api.post("/out/{user}")
async def out(user: str) -> None:
    for each in await app.sockets():
        if each.user == user:
            each.disconnect()


@api.get("/slow/{seconds}")
async def slow(seconds: float) -> list[int]:
    note("slow")
    await asyncio.sleep(seconds)
    app.to("kitchen").emit("said", "slow has ended")
    return [os.getpid(), VERSION]


@api.post("/count")
async def count(request: Request) -> int:
    return sum([len(part) async for part in request.stream()])


@api.get("/zeros/{parts}")
def zeros(parts: int) -> StreamingResponse:
    def content() -> Iterator[bytes]:
        for _ in range(parts):
            yield bytes(65_536)

    return StreamingResponse(content())


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    async for text in websocket.iter_text():
        await websocket.send_text(text)


flask = Flask("flask")


@flask.route("/pid")
def flask_pid() -> str:
    return str(os.getpid())


app.mount("/api", api)
app.mount_wsgi("/old", flask)
if not os.environ.get("HOCKET_PLACE", "").startswith("app"):
    app.mount("/renamed", api)  # as during a reload that renames it: in some processes alone

if __name__ == "__main__":
    app.run()
