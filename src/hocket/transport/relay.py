"""From process to process: no sticky sessions, and mounted applications in processes of their own.

A session lives in one worker; the next request for it, or its upgrade to WebSocket, may be accepted
by any. Its connection then moves to that worker, as an open file with what was read of it, and
stays there: a client that polls is moved once. Behind a proxy, whose connections carry the requests
of many, a connection moves as often as it brings a request for another worker.

With `app_processes` a connection moves in the same way to a process that runs the mounted
applications when it brings a request for one of them, and back to a worker with any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from typing import Final

from hocket.broker.base import NOBODY, OLD
from hocket.broker.local import LocalBroker
from hocket.broker.messages import Message, Moved
from hocket.broker.roles import APP, WORKER
from hocket.errors import HTTPError
from hocket.hub.ids import worker_of
from hocket.protocol.http1 import Request
from hocket.transport.entrance import NO_ROOM
from hocket.transport.http import HttpTransport
from hocket.transport.reactor import Reactor, write_small
from hocket.transport.stream import HttpStream

Choose = Callable[[Request], str | None]

_RETRY: Final = (b"retry-after", b"1")
# Of one request. While a reload changes what is mounted, one process takes for mounted what the
# next one does not, and would be asked again.
MOST_MOVES: Final = 4


class Relay:
    """Moves connections away.

    Args:
        worker: the number of this process.
        paths: of the requests that name a session.
        choose: the role of the processes that are to serve a request which is for no session of
            another worker; None: this one.
        reactor, http, broker: of this process.
        most: connections that it may have; who is moved here beyond that is turned away.
    """

    def __init__(
        self,
        worker: int,
        paths: Container[str],
        choose: Choose,
        reactor: Reactor,
        http: HttpTransport,
        broker: LocalBroker,
        most: int,
    ) -> None:
        self._worker = worker
        self._paths = paths
        self.choose = choose
        self._reactor = reactor
        self._http = http
        self._broker = broker
        self._most = most
        self._moves = 0  # of the request that comes first in what was just moved here

    def __call__(self, stream: HttpStream, request: Request, data: bytes) -> bool:
        """What HttpTransport asks as `elsewhere`. Raises HTTPError for a query too long, and when
        nobody is there to serve it.
        """
        moves, self._moves = self._moves, 0
        peer = self._peer(request, moves)
        if peer is None:
            return False
        self._http.out.release(stream)  # the answer to the request before
        if stream.backlog is not None:
            stream.buffer = data  # once that answer is out
        elif stream.fd >= 0:
            moved = Moved(stream.peer, stream.over_tls, data, moves + 1)
            self._broker.send(peer, moved, [self._reactor.give_up(stream)])
        return True

    def _peer(self, request: Request, moves: int) -> int | None:
        """The process that is to serve a request; None: this one."""
        if request.path in self._paths:
            sid = request.params().get("sid", "")
            if sid in self._broker.left:
                if self._broker.old is not None and self._broker.old.full:
                    raise HTTPError(503, "the process that has this session stands still", _RETRY)
                return OLD
            worker = worker_of(sid)
            if worker != self._worker and self._broker.has(worker):
                return worker
        role = self.choose(request) if moves < MOST_MOVES else None
        if role is None:
            return None
        peer = self._broker.emptiest(role)
        if peer is None:
            raise HTTPError(503, "no process is there to serve this", _RETRY)
        return peer

    def give_back(self, moved: Message, files: list[int]) -> None:
        """An idle connection, to some worker."""
        peer = self._broker.emptiest(WORKER)
        self._broker.send(NOBODY if peer is None else peer, moved, files)

    def take(self, fd: int, moved: Moved) -> None:
        """What another process moves here."""
        if len(self._reactor) >= self._most:
            write_small(fd, NO_ROOM)
            os.close(fd)
            return
        self._moves = moved.moves
        self._http.take(fd, moved.address, moved.over_tls, moved.data)
        self._moves = 0


def chooser(role: str, runs_mounts: bool, is_mounted: Callable[[Request], bool]) -> Choose:
    """Who serves which request, as a process of that role sees it."""
    if role == APP:
        return lambda request: None if is_mounted(request) else WORKER
    if runs_mounts:
        return lambda request: None
    return lambda request: APP if is_mounted(request) else None


def always_workers(request: Request) -> str:
    """Of a process that is about to end: all is to be moved."""
    return WORKER
