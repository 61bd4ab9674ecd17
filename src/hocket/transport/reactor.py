"""The reactor: every fd that Hocket serves itself, read and written without a thought for what it
carries.

Fds are reused by the kernel at once, so nothing here or above keeps a bare fd over a turn of the
loop: `Endpoint.fd` is -1 from the moment of `close`, the fd is shut down and out of the pollers
then, and closed for real when no callback of this turn can hold it any more.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket as sockets
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from hocket.hub.fanout import Pace, Write
from hocket.transport.poller import NestedPoller, Poller

log = logging.getLogger("hocket")

READ: Final = 65_536


class Endpoint(Protocol):
    """Something with an fd in the reactor."""

    fd: int

    @property
    def transport(self) -> Any:
        """An EndpointTransport for endpoints of this very class, which is more than types can say
        here.
        """


E = TypeVar("E", contravariant=True)


class EndpointTransport(Protocol[E]):
    """What the reactor calls. A method that raises costs its endpoint the connection, and nobody
    else anything.
    """

    def received(self, end: E, data: bytes, /) -> None: ...
    def ended(self, end: E, /) -> None:
        """The peer closed its side, or the connection broke."""

    def writable(self, end: E, /) -> None:
        """After `want_write`."""

    def failed(self, end: E, /) -> None:
        """One of the other methods raised."""


class Reactor:
    """All endpoints of a worker.

    Args:
        loop: the event loop that it lives in.
        clock: seconds.
        poller: how to learn which fds are ready.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        poller: Callable[
            [asyncio.AbstractEventLoop, Callable[[Iterable[int]], None], bool, Callable[[], float]],
            Poller,
        ] = NestedPoller,
    ) -> None:
        self._loop = loop
        self._table: dict[int, Endpoint] = {}
        self._reading = poller(loop, self._read, False, clock)
        self.paused = False  # whether nobody is read from
        self._writing = poller(loop, self._write, True, clock)
        self._want_write: set[int] = set()
        self._held: set[int] = set()
        self._closing: list[int] = []
        self.bytes_in = 0

    def __len__(self) -> int:
        return len(self._table)

    # Endpoints

    def endpoints(self) -> list[Endpoint]:
        return list(self._table.values())

    def add(self, end: Endpoint, new: bool = False) -> None:
        """`new`: what it says first may wait until the others are read."""
        self._table[end.fd] = end
        self._reading.add(end.fd, new)

    def replace(self, old: Endpoint, new: Endpoint) -> None:
        """`new` takes over the fd of `old`."""
        fd = old.fd
        old.fd, new.fd = -1, fd
        self._table[fd] = new

    def hold(self, end: Endpoint) -> None:
        """Stop reading from an endpoint: it has enough to do."""
        if end.fd >= 0 and end.fd not in self._held:
            self._held.add(end.fd)
            self._reading.remove(end.fd)

    def release(self, end: Endpoint) -> None:
        """Read from it again."""
        if end.fd in self._held:
            self._held.remove(end.fd)
            self._reading.add(end.fd)

    def want_write(self, end: Endpoint) -> None:
        """Call its `writable` when the kernel takes bytes again."""
        if end.fd >= 0 and end.fd not in self._want_write:
            self._want_write.add(end.fd)
            self._writing.add(end.fd)

    def stop_write(self, end: Endpoint) -> None:
        if end.fd in self._want_write:
            self._want_write.remove(end.fd)
            self._writing.remove(end.fd)

    def close(self, end: Endpoint, reset: bool = False) -> None:
        """Take an endpoint out and close its fd. Nothing is written to it after this. `reset`: also
        forget what the kernel still holds for it.
        """
        if end.fd < 0:
            return
        fd = self.give_up(end)
        shut_down(fd, sockets.SHUT_RDWR, reset)
        if not self._closing:
            self._loop.call_soon(self._close_fds)
        self._closing.append(fd)

    def give_up(self, end: Endpoint) -> int:
        """Take an endpoint out and leave its fd, open, to the caller."""
        fd = end.fd
        self.stop_write(end)
        if fd in self._held:
            self._held.remove(fd)
        else:
            self._reading.remove(fd)
        del self._table[fd]
        end.fd = -1
        return fd

    def _close_fds(self) -> None:
        closing, self._closing = self._closing, []
        for fd in closing:
            os.close(fd)

    def pause(self, paused: bool) -> None:
        """Stop, or go on, reading from everybody: too much waits to be sent."""
        self.paused = paused
        self._reading.pause(paused)

    def close_all(self) -> None:
        for end in tuple(self._table.values()):
            self.close(end)
        self._close_fds()
        self._reading.close()
        self._writing.close()

    # What the pollers call

    def _read(self, ready: Iterable[int]) -> None:
        table, held, read, again = self._table, self._held, os.read, self._reading.again
        for fd in ready:
            end = table.get(fd)
            if end is None or fd in held:  # closed or held by an earlier event of this batch
                continue
            try:
                if len(data := read(fd, READ)) == READ:
                    again(fd)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                data = b""
            self.bytes_in += len(data)
            try:
                if data:
                    end.transport.received(end, data)
                else:
                    end.transport.ended(end)
            except Exception:
                self._broke(end)

    def _write(self, ready: Iterable[int]) -> None:
        for fd in ready:
            end = self._table.get(fd)
            if end is None or fd not in self._want_write:
                continue
            try:
                end.transport.writable(end)
            except Exception:
                self._broke(end)

    def _broke(self, end: Endpoint) -> None:
        """A defect of ours: it costs this connection, and it is told."""
        log.exception("internal error while serving a connection")
        try:
            end.transport.failed(end)
        except Exception:
            log.exception("internal error while closing a connection")
        if end.fd >= 0:
            self.close(end)


def shut_down(fd: int, how: int, reset: bool = False) -> None:
    """`shutdown(2)` on a bare fd; it may be disconnected already. `reset`: its close will drop what
    is unsent (SO_LINGER of 0 seconds).
    """
    borrowed = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=fd)
    try:
        if reset:
            borrowed.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        borrowed.shutdown(how)
    except OSError:
        pass
    finally:
        borrowed.detach()


def peer_of(fd: int) -> tuple[str, int]:
    """The address and port of a bare fd's peer; "" and 0 if it has none, or has gone."""
    borrowed = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=fd)
    try:
        name = borrowed.getpeername()
    except OSError:
        return "", 0
    finally:
        borrowed.detach()
    return name[:2] if isinstance(name, tuple) else ("", 0)


def write_small(fd: int, data: bytes) -> None:
    """A few bytes to a connection that has had next to nothing before: they fit, or it is broken
    and its end will be read.
    """
    try:  # noqa: SIM105 - contextlib.suppress takes 0.6 us of the 60 that a connection may
        os.write(fd, data)
    except OSError:
        pass


def _holding_write() -> Write:
    """A `write` that keeps the GIL, for processes with more than one thread.

    `os.write` gives the GIL up and then waits for its turn: 90 us to 5 ms a write beside a busy
    Python thread, where this takes 2 us.
    """
    c_write = ctypes.PyDLL(None).write
    c_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    c_write.restype = ctypes.c_ssize_t

    def write(fd: int, data: bytes) -> int:
        sent: int = c_write(fd, data, len(data))
        return (
            sent if sent >= 0 else os.write(fd, data)
        )  # os.write, once more, for the right exception

    return write


_ALONE: Final = Pace(os.write)
_kept_pace: list[Pace] = []
# Beside a busy thread each turn of the loop waits 5 ms (`sys.getswitchinterval`) for the GIL. With
# slices as long a broadcast takes 2.1 x its time, with those of 2 ms 2.6 x (benchmarks busy).
_CROWDED: Final = 2.5


def choose_pace() -> Pace:
    """`os.write` while the process has one thread (0.4 us), the GIL-keeping one as soon as it has
    more.
    """
    if threading.active_count() == 1:
        return _ALONE
    if not _kept_pace:
        _kept_pace.append(Pace(_holding_write(), _CROWDED))
    return _kept_pace[0]
