"""uvicorn as its documentation tunes it, on a socket whose port is told."""

import socket
import sys
from typing import Any

import uvicorn


def arg(number: int, otherwise: str = "0") -> str:
    """An argument of the command line, or what stands in for it."""
    return sys.argv[number] if len(sys.argv) > number else otherwise


def serve(name: str, app: Any) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        backlog=4096,
    )
    listener = socket.create_server(("127.0.0.1", int(arg(1))), backlog=4096)
    print(f"{name} serves http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
