"""From worker to worker: no sticky sessions.

A session lives in one worker; the next request for it, or its upgrade to WebSocket, may be accepted
by any. Its connection then moves to that worker, as an open file with what was read of it, and
stays there: a client that polls is moved once. Behind a proxy, whose connections carry the requests
of many, a connection moves as often as it brings a request for another worker.
"""

from __future__ import annotations

from collections.abc import Container

from hocket.broker.local import LocalBroker
from hocket.broker.messages import Moved
from hocket.hub.ids import worker_of
from hocket.protocol.http1 import Request
from hocket.transport.http import HttpStream, HttpTransport
from hocket.transport.reactor import Reactor


class Relay:
    """Moves connections away.

    Args:
        worker: the number of this worker.
        paths: of the requests that name a session.
        reactor, http, broker: this worker's.
    """

    def __init__(
        self,
        worker: int,
        paths: Container[str],
        reactor: Reactor,
        http: HttpTransport,
        broker: LocalBroker,
    ) -> None:
        self._worker = worker
        self._paths = paths
        self._reactor = reactor
        self._http = http
        self._broker = broker

    def __call__(self, stream: HttpStream, request: Request, data: bytes) -> bool:
        """What HttpTransport asks as `elsewhere`. Raises HTTPError for a query too long."""
        if request.path not in self._paths:
            return False
        worker = worker_of(request.params().get("sid", ""))
        if worker == self._worker or not self._broker.has(worker):
            return False
        self._http.out.release(stream)  # the answer to the request before
        if stream.backlog is not None:
            stream.buffer = data  # once that answer is out
        elif stream.fd >= 0:
            moved = Moved(stream.peer, stream.over_tls, data)
            self._broker.send(worker, moved, [self._reactor.give_up(stream)])
        return True

    def take(self, fd: int, moved: Moved) -> None:
        """What another worker moves here."""
        self._http.take(fd, moved.address, moved.over_tls, moved.data)
