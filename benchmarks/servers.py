"""The table of servers that are measured: how each is made, and what the loads speak to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks import building

Command = Sequence[str]


@dataclass(frozen=True)
class Server:
    """One column of a table.

    `speaks` is a kind of clients in loads/clients.c. A server with flags is one with a property of
    its own, such as a busy thread.
    """

    name: str
    command: Callable[[], Command]
    speaks: str = ""
    flags: tuple[str, ...] = ()


HOCKET = Server("Hocket", building.hocket, "socketio")

SERVERS = {
    "c": Server("C write loop", partial(building.c, "write_loop"), "raw"),
    "socket.io": Server("socket.io (Node)", partial(building.node, "socketio.mjs"), "socketio"),
    "ws": Server("ws (Node)", partial(building.node, "ws.mjs"), "raw"),
    "node": Server("Node http", partial(building.node, "http.mjs")),
    "gorilla": Server("gorilla (Go)", partial(building.go, "gorilla"), "raw"),
    "centrifuge": Server("centrifuge (Go)", partial(building.go, "centrifuge"), "centrifuge"),
    "go": Server("Go net/http", partial(building.go, "http")),
    "socketioxide": Server("socketioxide (Rust)", building.rust, "socketio"),
    "python-socketio": Server(
        "python-socketio on uvicorn", partial(building.python, "socketio_app"), "socketio"
    ),
    "starlette": Server("Starlette on uvicorn", partial(building.python, "starlette_app")),
    "asyncio": Server("asyncio", partial(building.python, "asyncio_loop"), "raw"),
    "hocket": HOCKET,
}


def some(*keys: str) -> dict[str, Server]:
    return {key: SERVERS[key] for key in keys}


def busy(server: Server) -> Server:
    return replace(server, name=f"{server.name}, busy thread", flags=("--busy",))


def hocket_on(python: str, like: Server = HOCKET) -> Server:
    """A column for Hocket on another Python."""
    return replace(like, name=f"Hocket on {python}", command=partial(building.hocket_on, python))
