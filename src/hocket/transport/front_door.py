"""Which request goes where: the Socket.IO path, the app's own routes, then mounted applications."""

from __future__ import annotations

from hocket.protocol.http1 import Request
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpStream, HttpTransport, Intake
from hocket.transport.mounts import Mount, MountRunner, Mounts
from hocket.transport.routes import RouteRunner, Routes


class FrontDoor:
    """Sorts requests, each by itself: a connection may bring a page, then a poll, then an upgrade,
    and behind a proxy those of different users.

    Args:
        path: of Socket.IO, without a slash at the end.
        gateway: serves that path.
        run: calls the functions of `routes`.
        mounted: serves `mounts`.
    """

    def __init__(
        self,
        path: str,
        gateway: Gateway,
        run: RouteRunner,
        routes: Routes,
        mounted: MountRunner,
        mounts: Mounts,
    ) -> None:
        self._ours = {path, path.rstrip("/") + "/"}
        self._gateway = gateway
        self._run = run
        self._routes = routes
        self._mounted = mounted
        self._mounts = mounts

    def attend(self, http: HttpTransport) -> None:
        http.handle, http.upgrade = self.handle, self.upgrade
        if self._mounts.all:
            http.begin = self.begin

    def handle(self, stream: HttpStream, request: Request, body: bytes) -> None:
        if request.path in self._ours:
            self._gateway.request(stream, request, body)
        else:
            self._run(stream, request, body)

    def begin(self, stream: HttpStream, request: Request) -> Intake | None:
        mount = self._mount_for(request)
        if mount is None or self._routes.has(request.method, request.path):
            return None
        return self._mounted.begin(mount, stream, request)

    def upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> bool:
        if request.path in self._ours:
            self._gateway.upgrade(stream, request, rest)
            return True
        mount = self._mount_for(request)
        if mount is None:
            return False
        self._mounted.upgrade(mount, stream, request, rest)
        return True

    def _mount_for(self, request: Request) -> Mount | None:
        return None if request.path in self._ours else self._mounts.find(request.path)
