"""uvicorn as its documentation tunes it, on a socket whose port is told."""

import socket
from typing import Any

import uvicorn


def serve(name: str, app: Any, port: int) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        lifespan="off",
        backlog=4096,
    )
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    print(f"{name} serves http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
