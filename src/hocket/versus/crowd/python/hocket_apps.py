"""Hocket beside a mounted FastAPI whose `def` route computes; `go` sends one message to all. Each
client has a user and two rooms. With `--core N` what runs the FastAPI keeps to that core, which is
for a process of its own (`--app-processes 1`), and not for a worker.

python hocket_apps.py PORT [--app-processes 1 --core N]
"""

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asked import number
from fastapi import FastAPI

from hocket import App, Socket

STEPS = 50_000  # of pure Python: some milliseconds a request

beside = number("--app-processes")
app = App(origins="*", **({"app_processes": beside} if beside else {}))


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    if "--core" in sys.argv:
        os.sched_setaffinity(0, {number("--core")})
    yield


api = FastAPI(lifespan=lifespan)
app.mount("/api", api)


@api.get("/pid")
def pid() -> int:
    return os.getpid()


@api.get("/work")
def work() -> int:
    value = 1
    for _ in range(STEPS):
        value = value * 1103515245 % 2147483648
    return value


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth["user"]
    socket.join("general", f"room-{int(socket.user[5:]) // 50}")


@app.on("go")
def go(socket: Socket, how: str) -> None:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@".ljust(96, "x")})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
