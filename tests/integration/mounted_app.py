"""For test_mounts.py: an app with applications of four frameworks on its port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from flask import Flask
from flask import request as flask_request
from starlette.staticfiles import StaticFiles

from hocket import App, Socket


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[dict[str, Any]]:
    happened.append("up")
    yield {"database": "open"}
    happened.append("down")


happened: list[str] = []
api = FastAPI(lifespan=lifespan)


@api.get("/who/{number}")
def who(number: int, request: Request) -> list[Any]:
    client = request.client.host if request.client else ""
    return [number, request.state.database, request.url.path, client, request.url.query]


@api.get("/say/{room}/{text}")
def say(room: str, text: str) -> str:
    app.to(room).emit("said", text)  # from a thread of FastAPI's
    return "said"


@api.post("/count")
async def count(request: Request) -> int:
    return sum([len(part) async for part in request.stream()])


@api.post("/refuse")
async def refuse() -> None:
    raise HTTPException(413, "too much")


@api.get("/zeros/{parts}")
def zeros(parts: int) -> StreamingResponse:
    def content() -> Iterator[bytes]:
        for _ in range(parts):
            yield bytes(65_536)

    return StreamingResponse(content())


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol=(websocket.scope["subprotocols"] or [None])[0])
    async for text in websocket.iter_text():
        await websocket.send_text(text)


flask = Flask("flask")


@flask.route("/length", methods=["POST"])
def length() -> str:
    return str(len(flask_request.get_data()))


@flask.route("/where")
def where() -> str:
    return f"{flask_request.script_root} {flask_request.path} {flask_request.args.get('q')}"


app = App()


@app.get("/")
def home() -> str:
    return "home"


@app.get("/api/ours")
def ours() -> str:
    return "ours"


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.join("kitchen")


app.mount("/api", api)
app.mount_wsgi("/old", flask)


def with_files(folder: str) -> App:
    app.mount("/files", StaticFiles(directory=folder))
    return app


if __name__ == "__main__":
    app.run()
