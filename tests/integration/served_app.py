"""The app that the clients' tests talk to: run as a program it prints its URL. With `--beside`
FastAPI has the rest of the port.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hocket import App, ConnectError, Socket

app = App(origins=["http://allowed.example"])
admin = app.namespace("/admin")
closed = app.namespace("/closed")
CLIENT = Path(__file__).resolve().parents[1] / "node/node_modules/socket.io-client/dist"


async def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("user", "nobody"))
    socket.emit("welcome", socket.user, b"\x01\x02")


async def echo(socket: Socket, *args: Any) -> tuple[Any, ...]:
    return (list(args),)


async def ask(socket: Socket, value: int) -> Any:
    return await socket.call("question", value)


def join(socket: Socket, room: str) -> str:
    socket.join(room)
    return "in"


def say(socket: Socket, room: str, text: str) -> None:
    (admin if socket.namespace == "/admin" else app).to(room).emit("in-room", text)


def kick(socket: Socket) -> None:
    socket.disconnect()


for place in (app, admin):
    place.on("connect")(connect)
    for handler in (echo, ask, join, say, kick):
        place.on(handler.__name__)(handler)


@closed.on("connect")
def refuse(socket: Socket, auth: dict[str, Any]) -> None:
    raise ConnectError("members only", {"code": 7})


@app.get("/")
def page(request: Any) -> Any:
    from starlette.responses import HTMLResponse

    return HTMLResponse("<!doctype html><title>client</title><script src=/client.js></script>")


@app.get("/client.js")
def client(request: Any) -> Any:
    from starlette.responses import FileResponse

    return FileResponse(CLIENT / "socket.io.min.js", media_type="text/javascript")


def mount() -> None:
    from fastapi import FastAPI

    api = FastAPI()
    api.get("/beside")(lambda: "FastAPI")
    app.mount("/", api)


if __name__ == "__main__":
    if "--beside" in sys.argv:
        mount()
    app.run()
