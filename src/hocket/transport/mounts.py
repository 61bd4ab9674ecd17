"""Applications of other frameworks under a path of this server: `app.mount("/api", app)`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from hocket.protocol.http1 import Field, Request
from hocket.transport.asgi import AsgiApp, Exchange, Scope, scope_of
from hocket.transport.asgi_websocket import AsgiWebSocketTransport
from hocket.transport.http import HttpTransport
from hocket.transport.lifespan import Lifespan
from hocket.transport.stream import HttpStream


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
        """`path`: as it stands in a request, percent-encoded."""
        path = unquote(path) if "%" in path else path
        return next((mount for mount in self.all if mount.holds(path)), None)


class MountRunner:
    """Runs mounted applications: their lifespans, their requests, their WebSockets.

    Args:
        mounts: the applications.
        http: where plain requests come from.
        websockets: where their WebSockets are.
        spawn: starts a task.
        defer: calls a function at the loop's next turn.
        date: gives the Date field.
    """

    def __init__(
        self,
        mounts: Mounts,
        http: HttpTransport,
        websockets: AsgiWebSocketTransport,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        defer: Callable[[Callable[[], None]], object],
        date: Callable[[], Field],
    ) -> None:
        self._mounts = mounts
        self._http = http
        self._websockets = websockets
        self._spawn = spawn
        self._defer = defer
        self._date = date
        self._lifespans = [Lifespan(mount) for mount in mounts.all]

    @property
    def bytes_out(self) -> int:
        """Over WebSockets."""
        return self._websockets.out.bytes_out

    async def start(self) -> None:
        """Raises UsageError when an application says that it cannot start."""
        for lifespan in self._lifespans:
            await lifespan.start()

    async def stop(self) -> None:
        for lifespan in reversed(self._lifespans):
            await lifespan.stop()

    def close_all(self) -> None:
        """Say goodbye on every WebSocket."""
        self._websockets.close_all()

    def begin(self, stream: HttpStream, request: Request) -> Exchange | None:
        """A plain request, whose body follows; None if no application is mounted there."""
        mount = self._mounts.find(request.path)
        if mount is None:
            return None
        exchange = Exchange(self._http, stream, request, self._date)
        scope = _mounted(mount, stream, request)
        # Not an eager task: what is there of the body must be fed before the application answers.
        self._defer(lambda: self._spawn(exchange.run(mount.app, scope)))
        return exchange

    def upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> bool:
        """A WebSocket; False if no application is mounted there. Raises HTTPError for a request
        that cannot open one.
        """
        mount = self._mounts.find(request.path)
        if mount is None:
            return False
        self._websockets.open(stream, request, rest, mount.app, _mounted(mount, stream, request))
        return True


def _mounted(mount: Mount, stream: HttpStream, request: Request) -> Scope:
    scope = scope_of(stream, request, mount.path)
    if mount.state:
        scope["state"] = mount.state.copy()
    return scope
