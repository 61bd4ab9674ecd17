"""The byte-bounded outbox of a connection whose kernel buffer is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hocket.hub.connection import Connection
from hocket.hub.counts import Counts
from hocket.protocol.engineio import EncodedPacket

_MERGE = 65_536


class Backlog:
    """Bytes that wait until the client reads.

    Args:
        limit: the most bytes that may wait for a connection behind what is being written.
        overflow: called, once, with the connection when they are more: a slow consumer.
        counts: of the worker, for the bytes of packets; what else is added is counted by whoever
            adds it.
    """

    __slots__ = ("_chunks", "_counts", "_limit", "_overflow", "size")

    def __init__(
        self,
        limit: int = 0,
        overflow: Callable[[Connection], None] | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._limit = limit
        self._overflow = overflow
        self._counts = counts
        self._chunks: deque[bytes] = deque()
        self.size = 0

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        if not packet.volatile:
            data = packet.form(connection.wire)
            if self._counts is not None:
                self._counts.bytes_out += len(data)
            self.add(connection, data)

    def append(self, data: bytes) -> None:
        """Without the bound: for whoever looks at `size` before adding more."""
        self._chunks.append(data)
        self.size += len(data)

    def add(self, connection: Connection, data: bytes) -> None:
        """What is being written may be of any size: a client that reads as fast as it can is not
        slow. What waits behind that counts against the bound.
        """
        self.append(data)
        waits = self.size - len(self._chunks[0])
        if waits > self._limit and self._overflow is not None:
            overflow, self._overflow = self._overflow, None
            overflow(connection)

    def contents(self) -> bytes:
        return b"".join(self._chunks)

    def write_out(self, write: Callable[[int, bytes], int], fd: int) -> bool:
        """Write what the kernel takes; True when nothing is left. Raises OSError if the peer is
        gone.
        """
        chunks = self._chunks
        while chunks:
            data = self._next()
            try:
                sent = write(fd, data)
            except BlockingIOError:
                sent = 0
            self.size -= sent
            if sent < len(data):
                chunks.appendleft(data[sent:])
                return False
        return True

    def _next(self) -> bytes:
        """The first chunks as one, up to 64 KiB: many small frames become one write."""
        chunks = self._chunks
        first = chunks.popleft()
        if not chunks or len(first) >= _MERGE:
            return first
        parts, size = [first], len(first)
        while chunks and size < _MERGE:
            parts.append(chunks.popleft())
            size += len(parts[-1])
        return b"".join(parts)
