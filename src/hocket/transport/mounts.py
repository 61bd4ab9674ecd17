"""Applications of other frameworks under a path of this server: `app.mount("/api", app)`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from hocket.protocol.http1 import Field, Request
from hocket.transport.asgi import AsgiApp, Exchange, Scope, scope_of
from hocket.transport.asgi_websocket import AsgiWebSocketTransport
from hocket.transport.http import HttpStream, HttpTransport


class Mount:
    """An ASGI application, the path that it answers for (without a slash at the end), and the state
    that its lifespan has set up.
    """

    __slots__ = ("app", "path", "state")

    def __init__(self, path: str, app: AsgiApp) -> None:
        if not path.startswith("/"):
            raise ValueError(f"a path begins with a slash: {path!r}")
        self.path = path.rstrip("/")
        self.app = app
        self.state: dict[str, Any] = {}

    def holds(self, path: str) -> bool:
        return path.startswith(self.path) and path[len(self.path) : len(self.path) + 1] in ("/", "")


class Mounts:
    """All mounted applications; the one with the longest path that fits answers."""

    def __init__(self) -> None:
        self.all: list[Mount] = []

    def add(self, path: str, app: AsgiApp) -> None:
        """Raises ValueError for a path that is taken."""
        mount = Mount(path, app)
        if any(other.path == mount.path for other in self.all):
            raise ValueError(f"an application is mounted at {path} already")
        self.all.append(mount)
        self.all.sort(key=lambda each: -len(each.path))

    def find(self, path: str) -> Mount | None:
        return next((mount for mount in self.all if mount.holds(path)), None)


class MountRunner:
    """Hands requests to mounted applications.

    Args:
        http: where plain requests come from.
        websockets: where their WebSockets go.
        spawn: starts a task.
        date: gives the Date field.
    """

    def __init__(
        self,
        http: HttpTransport,
        websockets: AsgiWebSocketTransport,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        date: Callable[[], Field],
    ) -> None:
        self._http = http
        self._websockets = websockets
        self._spawn = spawn
        self._date = date

    def begin(self, mount: Mount, stream: HttpStream, request: Request) -> Exchange:
        """A plain request; its body follows."""
        exchange = Exchange(self._http, stream, request, self._date)
        self._spawn(exchange.run(mount.app, _mounted(mount, stream, request)))
        return exchange

    def upgrade(self, mount: Mount, stream: HttpStream, request: Request, rest: bytes) -> None:
        """A WebSocket. Raises HTTPError for a request that cannot open one."""
        self._websockets.open(stream, request, rest, mount.app, _mounted(mount, stream, request))


def _mounted(mount: Mount, stream: HttpStream, request: Request) -> Scope:
    scope = scope_of(stream, request, mount.path)
    if mount.state:
        scope["state"] = mount.state.copy()
    return scope
