"""Several HTTP/2 connections to one server, and who waits for room on them."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from hocket.providers.http2 import Connection, Headers, LostError, Response, UnsentError

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

    def drop(self, connection: Connection, error: Exception) -> None:
        """It has ended. One that was of no use is not followed by another at once."""
        if connection in self._connections:
            self._connections.remove(connection)
            if not connection.proven:
                self._give_up(error)
        if self._waiting:
            self._open_another()

    def _open_another(self) -> None:
        usable = sum(not each.closing for each in self._connections)
        if self._opening is None and usable < self._size and not self._closed:
            self._opening = self.loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await self._connected()
        except (OSError, LostError) as error:  # TimeoutError and ssl's errors are OSErrors, too
            self._opening = None
            late = isinstance(error, TimeoutError)
            self._give_up(OSError(f"none within {CONNECT_TIMEOUT:g} s") if late else error)
            return
        self._opening = None
        self._connections.append(connection)
        self.wake()
        if self._waiting:
            self._open_another()

    async def _connected(self) -> Connection:
        name = self._host if self._context is not None else None
        transport, connection = await self.loop.create_connection(
            lambda: Connection(self),
            self._host,
            self._port,
            ssl=self._context,
            server_hostname=name,
        )
        try:
            await connection.ready
        except BaseException:
            transport.abort()
            raise
        return connection

    def _give_up(self, error: Exception) -> None:
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
