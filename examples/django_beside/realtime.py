"""Hocket's app: apart from serve.py, so that Django's views can import it."""

from typing import Any

from hocket import App, Socket

app = App()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.join("board")
