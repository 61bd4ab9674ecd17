"""The listening socket, and a clear word when there cannot be one."""

from __future__ import annotations

import errno
import socket as sockets
from typing import Final

from hocket.errors import UsageError
from hocket.settings import Settings

BACKLOG: Final = 4096  # connections that may wait to be accepted
_NO_ADDRESS = "{!r} is no address of this machine: set --host (HOCKET_HOST), such as 127.0.0.1"
_OTHER_PORT = "choose another with --port (HOCKET_PORT)"


def open_listener(settings: Settings) -> sockets.socket:
    """Bind and listen as the settings say. Raises UsageError that names the mend."""
    host, port = settings.host, settings.port
    try:
        family = sockets.getaddrinfo(
            host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0][0]
    except (OSError, UnicodeError, ValueError):
        raise UsageError(_NO_ADDRESS.format(host)) from None
    listener = sockets.socket(family, sockets.SOCK_STREAM)
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(_explain(error, host, port)) from None
    listener.setblocking(False)
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program: stop it, or {_OTHER_PORT} (0: a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} is forbidden to this user: {_OTHER_PORT}, from 1024 up"
    if error.errno == errno.EADDRNOTAVAIL:
        return _NO_ADDRESS.format(host)
    return f"cannot listen on {host}:{port}: {error.strerror}"


def url_of(listener: sockets.socket) -> str:
    """The URL that a person on this machine can open."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
