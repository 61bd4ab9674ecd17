"""Which request goes where: the Socket.IO path, the app's own routes, what is built in, and then
mounted applications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hocket.errors import HTTPError
from hocket.protocol.http1 import Request
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpTransport
from hocket.transport.routes import RouteRunner, Routes
from hocket.transport.stream import HttpStream, Intake

if TYPE_CHECKING:
    from hocket.transport.mounts import MountRunner, Mounts

BuiltIn = Callable[[HttpStream, Request], None]


class FrontDoor:
    """Sorts requests, each by itself: a connection may bring a page, then a poll, then an upgrade,
    and behind a proxy those of different users.

    Args:
        path: of Socket.IO, without a slash at the end.
        gateway: serves that path.
        built_in: what else answers a GET, by path.
        run: calls the functions of `routes`.
        mounts: the mounted applications, where there are any.
        mounted: serves them, if they run in this process.
    """

    def __init__(
        self,
        path: str,
        gateway: Gateway,
        built_in: Mapping[str, BuiltIn],
        run: RouteRunner,
        routes: Routes,
        mounts: Mounts | None,
        mounted: MountRunner | None,
    ) -> None:
        self._ours = with_slash(path)
        self._gateway = gateway
        self._built_in = built_in
        self._run = run
        self._routes = routes
        self._mounts = mounts
        self._mounted = mounted

    def attend(self, http: HttpTransport) -> None:
        http.handle, http.upgrade = self.handle, self.upgrade
        http.takeovers = frozenset(self._built_in)
        if self._mounted is not None:
            http.begin = self.begin

    def handle(self, stream: HttpStream, request: Request, body: bytes) -> None:
        if request.path in self._ours:
            self._gateway.request(stream, request, body)
        elif (answer := self._is_built_in(request)) is not None:
            answer(stream, request)
        elif request.path in self._built_in and not self._has_route(request):
            if request.method != "OPTIONS":
                raise HTTPError(405, "method not allowed", (b"allow", b"GET, OPTIONS"))
            self._gateway.preflight(stream, request)
        else:
            self._run(stream, request, body)

    def _is_built_in(self, request: Request) -> BuiltIn | None:
        answer = self._built_in.get(request.path)
        if answer is None or request.method != "GET":
            return None
        return None if self._routes.has("GET", request.path) else answer

    def begin(self, stream: HttpStream, request: Request) -> Intake | None:
        if self._mounted is None or request.path in self._ours or self._is_ours(request):
            return None
        return self._mounted.begin(stream, request)

    def upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> bool:
        if request.path in self._ours:
            self._gateway.upgrade(stream, request, rest)
            return True
        return self._mounted is not None and self._mounted.upgrade(stream, request, rest)

    def is_mounted(self, request: Request) -> bool:
        """Whether a mounted application is to answer, wherever it runs."""
        if self._mounts is None or request.path in self._ours:
            return False
        ours = not request.upgrade and self._is_ours(request)
        return not ours and self._mounts.find(request.path) is not None

    def _is_ours(self, request: Request) -> bool:
        return self._has_route(request) or self._is_built_in(request) is not None

    def _has_route(self, request: Request) -> bool:
        has, path = self._routes.has, request.path
        return has(request.method, path) or (
            request.method == "OPTIONS"
            and self._run.answers_preflights
            and has(request.get(b"access-control-request-method").decode("latin-1"), path)
        )


def with_slash(path: str) -> set[str]:
    """A path without and with a slash at its end."""
    return {path, path.rstrip("/") + "/"}
