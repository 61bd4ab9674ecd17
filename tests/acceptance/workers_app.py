"""An app for tests of several workers: who serves, and whom all of them serve."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from hocket import App, Socket

app = App()


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth.get("user", "")


@app.on("who")
async def who(socket: Socket) -> list[Any]:
    return [os.getpid(), sorted(each.user for each in await app.sockets())]


@app.on("shout")
def shout(socket: Socket, *args: Any) -> None:
    app.emit("shouted", *args)


@app.on("hold")
def hold(socket: Socket, seconds: float) -> None:
    print("holds the loop", file=sys.stderr, flush=True)
    time.sleep(seconds)


@app.get("/pid")
def pid() -> str:
    return str(os.getpid())


if __name__ == "__main__":
    app.run()
