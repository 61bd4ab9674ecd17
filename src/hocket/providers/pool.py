"""Several HTTP/2 connections to one server, and who waits for room on them."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from hocket.providers.http2 import Connection, Headers, Response, UnsentError

CONNECT_TIMEOUT: Final = 10.0  # seconds


class Pool:
    """Up to `size` connections to one server, opened when those there are have no room.

    Args:
        context: for TLS; None: without (HTTP/2 with prior knowledge).
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._host, self._port, self._context = host, port, context
        self._size = size
        self._connections: list[Connection] = []
        self._opening: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def request(self, headers: Headers, body: bytes) -> Response:
        """Send one, when there is room.

        Raises: LostError, UnsentError, OSError when the server cannot be reached.
        """
        for _ in range(self._size + 1):
            connection = await self._with_room()
            try:
                return await connection.request(headers, body)
            except UnsentError as error:
                refused = error
        raise refused

    async def _with_room(self) -> Connection:
        """A connection that takes a request in this turn of the loop."""
        first = not self._waiting  # who waits already goes first
        while not first or (connection := self._roomy()) is None:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._waiting.append(waiter)
            self._open_another()
            try:
                await waiter
            except asyncio.CancelledError:
                self.wake()  # what was this one's is the next one's
                raise
            first = True
        return connection

    def _roomy(self) -> Connection | None:
        """The connection with the most room."""
        best = max(self._connections, key=lambda each: each.free, default=None)
        return best if best is not None and best.free > 0 else None

    def wake(self) -> None:
        """As many of those that wait as there is room for."""
        room = sum(max(each.free, 0) for each in self._connections)
        while room > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def drop(self, connection: Connection) -> None:
        """It has ended."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self._waiting:
            self._open_another()

    def _open_another(self) -> None:
        if self._opening is None and len(self._connections) < self._size and not self._closed:
            self._opening = self.loop.create_task(self._open())

    async def _open(self) -> None:
        name = self._host if self._context is not None else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    self._host,
                    self._port,
                    ssl=self._context,
                    server_hostname=name,
                )
        except OSError as error:  # TimeoutError and ssl's errors are some, too
            self._opening = None
            self._give_up(error)
            return
        self._opening = None
        if self._closed:
            connection.close()
        elif not connection.closing:
            self._connections.append(connection)
            self.wake()

    def _give_up(self, error: OSError) -> None:
        """Nobody waits for a server that is not there."""
        while self._waiting and not self._connections:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        self._give_up(OSError("closed"))
        for connection in list(self._connections):
            connection.close()
