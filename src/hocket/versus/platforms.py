"""The platforms that are compared: how each is named, and how its programs are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hocket.versus.making import Maker

Command = list[str]


@dataclass(frozen=True)
class Platform:
    """A column. `speaks` is what its chat understands: bare WebSocket or Socket.IO."""

    name: str
    stands_on: str  # for the reader: what its programs are written with
    make: Callable[[Maker, str], Command]
    speaks: str = "socketio"
    limit: bool = False  # shown as what is possible, and no rival to anybody


PLATFORMS = {
    "go": Platform("Go", "net/http, gorilla/websocket", Maker.go, "raw"),
    "node": Platform("Node.js", "http, express, socket.io", Maker.node),
    "python": Platform("Python today", "FastAPI, python-socketio, uvicorn", Maker.python),
    "hocket": Platform("Hocket", "Hocket", Maker.hocket),
    "ts": Platform("TypeScript", "tsc --strict", Maker.node),
    "c": Platform("C", "pthread; a loop of write(2)", Maker.c, "raw", limit=True),
    "centrifuge": Platform("centrifuge (Go)", "centrifuge", Maker.go, "centrifuge"),
    "rust": Platform("socketioxide (Rust)", "socketioxide, axum", Maker.rust),
}

CONTENDERS = ("go", "node", "hocket")  # whom advice is about
