"""Hocket: chat in rooms and notifications to 50,000 users at once, in Python, at the speed of the
kernel.
"""

from typing import TYPE_CHECKING

from hocket.app import App, Namespace
from hocket.errors import CallTimeout, ConnectError, Disconnected, HocketError, Overloaded
from hocket.hub.dispatch import NO_ACK
from hocket.hub.handshake import Handshake
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from hocket.instance.foreground import run_app

if TYPE_CHECKING:
    from hocket.instance.emitter import Emitter

App.runner = run_app

__version__ = "0.1.0"

__all__ = [
    "NO_ACK",
    "App",
    "CallTimeout",
    "ConnectError",
    "Disconnected",
    "Emitter",
    "Handshake",
    "HocketError",
    "Namespace",
    "Overloaded",
    "Socket",
    "Target",
]


def __getattr__(name: str) -> object:
    if name == "Emitter":
        from hocket.instance.emitter import Emitter  # lazy: servers do not need it, 3 ms

        return Emitter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
