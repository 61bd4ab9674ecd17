"""The entrance: how new connections come in, how many, and what the next one is told."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket as sockets
import sys
from collections.abc import Callable, Sized
from typing import Final

from hocket.protocol.http1 import response

log = logging.getLogger("hocket")

ACCEPTS: Final = 64  # accepted a turn
SLACK: Final = 128  # connections that a worker may be ahead of the emptiest one, or more: ...
SLACK_NEWS: Final = 2  # ... so many times what others may have gained without telling
REST: Final = 0.05  # seconds that it then leaves to the others, unless they come along before
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
NO_ROOM: Final = response(503, [(b"retry-after", b"5")], close=True)


def _nobody_asks(count: int) -> None:
    """For a worker alone."""


class Entrance:
    """Accepts connections from a listening socket, which other workers may accept from too.

    A worker that is full, or has more than its share, takes the listener out of its poller: the
    kernel wakes the others then. Where nobody has room the next client is told so, 503.

    Args:
        loop: the event loop.
        inside: the connections of this worker.
        capacity: how many it may have.
        accepted: makes an endpoint of an fd and an address.
        others: how many each other worker has.
        told: gets the number of connections after some have come in.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inside: Sized,
        capacity: int,
        accepted: Callable[[int, str], None],
        others: Callable[[], list[int]] = list,
        told: Callable[[int], None] = _nobody_asks,
    ) -> None:
        self._loop = loop
        self._inside = inside
        self.capacity = capacity
        self._accepted = accepted
        self.others = others
        self.told = told
        self.news = 0  # connections that each other may have more or less than it has told
        self._quiet_until = 0.0
        self._patience = 1
        self._resting: asyncio.TimerHandle | None = None
        self.listener: sockets.socket | None = None
        self.is_listening = False
        self._reserve = os.open(os.devnull, os.O_RDONLY)

    def open(self, listener: sockets.socket) -> None:
        """From now on clients come in."""
        self.listener = listener
        self._listen()

    def close(self) -> None:
        """Nobody comes in any more."""
        if self.listener is not None:
            self._stop_listening()
            self.listener.close()
            self.listener = None
        self._close_reserve()

    def _listen(self) -> None:
        if self.listener is not None and not self.is_listening:
            self.is_listening = True
            self._loop.add_reader(self.listener.fileno(), self._accept)

    def _stop_listening(self) -> None:
        if self.listener is not None and self.is_listening:
            self.is_listening = False
            self._loop.remove_reader(self.listener.fileno())

    # Who comes in

    def _accept(self) -> None:
        if self.listener is not None:
            self._accept_some(self.listener)
            self.told(len(self._inside))

    def _accept_some(self, listener: sockets.socket) -> None:
        emptiest = self._emptiest()
        for _ in range(ACCEPTS):
            if not self._may_come(emptiest):
                self._rest()
                return
            if len(self._inside) >= self.capacity:
                if not self._turn_away(listener):
                    return
                continue
            try:
                # HOT: what `socket.accept` wraps. Without a socket object, which asks the kernel
                # for its name and makes three enums, a connection costs 6 us less (benchmarks
                # connect).
                fd, address = listener._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._no_files(listener)
                continue
            os.set_blocking(fd, False)
            self._accepted(fd, sys.intern(address[0]) if isinstance(address, tuple) else "")

    def _emptiest(self) -> int | None:
        """How many the emptiest other worker has; it stays so for this turn."""
        return min(self.others(), default=None)

    def _may_come(self, emptiest: int | None) -> bool:
        """Whether the next one is for this worker, to be served or to be turned away."""
        if emptiest is None:
            return True
        count = len(self._inside)
        if count >= self.capacity:
            return emptiest >= self.capacity
        return count <= emptiest + self._patience * max(SLACK, SLACK_NEWS * self.news)

    def _rest(self) -> None:
        """It is the turn of others."""
        self._stop_listening()
        self._resting = self._loop.call_later(REST, self._look)

    def heard(self) -> None:
        """Others have told how many they have now."""
        if self._resting is not None and self._may_come(self._emptiest()):
            self._resting.cancel()
            self._look()

    def _look(self) -> None:
        self._resting = None
        if self._may_come(self._emptiest()):
            self._patience = 1
        elif len(self._inside) < self.capacity:
            self._patience *= 2  # the emptiest one may not be able to take anybody
        else:
            self._rest()
            return
        self._listen()

    def _turn_away(self, listener: sockets.socket) -> bool:
        """Tell one client that there is no room; whether there was one."""
        try:
            client, _ = listener.accept()
        except OSError:
            return False
        self._say("no room: a client was turned away; %d are there, more may not be", self.capacity)
        with client, contextlib.suppress(OSError):
            client.setblocking(False)
            client.send(NO_ROOM)
        return True

    def _no_files(self, listener: sockets.socket) -> None:
        """No fd is left: give up the reserve for as long as it takes to tell one client so."""
        self._say("no file descriptors are left: clients are turned away; raise ulimit -n")
        self._close_reserve()
        try:
            self._turn_away(listener)
        finally:
            with contextlib.suppress(OSError):  # somebody else was quicker; the next time then
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _say(self, text: str, *args: int) -> None:
        """At most once a second: the log must not make it worse."""
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + 1.0
            log.error(text, *args)

    def _close_reserve(self) -> None:
        reserve, self._reserve = self._reserve, -1
        if reserve >= 0:
            os.close(reserve)
