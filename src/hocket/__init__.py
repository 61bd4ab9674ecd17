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
    from hocket.identity.model import Identity
    from hocket.instance.emitter import Emitter
    from hocket.notify.jobs import Job
    from hocket.notify.model import Audience, Notification
    from hocket.serve.api import add_api

App.runner = run_app

__version__ = "0.1.0"

__all__ = [
    "NO_ACK",
    "App",
    "Audience",
    "CallTimeout",
    "ConnectError",
    "Disconnected",
    "Emitter",
    "Handshake",
    "HocketError",
    "Identity",
    "Job",
    "Namespace",
    "Notification",
    "Overloaded",
    "Socket",
    "Target",
    "add_api",
]


_LATER = {  # not everybody needs them: by the module that has them
    "Audience": "hocket.notify.model",
    "Emitter": "hocket.instance.emitter",
    "Identity": "hocket.identity.model",
    "Job": "hocket.notify.jobs",
    "Notification": "hocket.notify.model",
    "add_api": "hocket.serve.api",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        from importlib import import_module  # lazy: as they are

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
