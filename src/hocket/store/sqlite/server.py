"""The store over its socket: operations in, answers and events out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket as sockets
from collections import deque
from pathlib import Path
from typing import Any, Final, cast

from hocket.store.base import (
    Claim,
    Deliveries,
    Devices,
    Event,
    Inbox,
    Operation,
    Recipients,
    Report,
)
from hocket.store.sqlite.feeds import Feed
from hocket.store.sqlite.group import Group
from hocket.store.wire import (
    SOCKET,
    Address,
    Broken,
    Frames,
    Subscribe,
    decode_request,
    encode_answer,
    encode_event,
)

PAGES: Final = 16  # long answers that one client may wait for at a time
LONG: Final = (Claim, Deliveries, Devices, Inbox, Recipients, Report)
SHARED: Final = 64  # events whose frames are kept
HIGH: Final = 1_048_576  # bytes that may wait to be read by one client before it is served no more

log = logging.getLogger("hocket")


class Client(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self._group = server.group
        self._number = number
        self._frames = Frames()
        self._asked: deque[tuple[int, Operation[Any]]] = deque()
        self._pages = 0  # long answers on their way
        self._feed: Feed | None = None
        self._has_room = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH)
        self._server.clients.add(self)
        if self._server.closed:  # it came in the moment of the end
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.take(data):
                self._asked.append(decode_request(frame))
        except Broken as broken:
            log.warning("a client of the store broke its form: %s", broken)
            self._transport.abort()
        self._go_on()

    def _go_on(self) -> None:
        """Hand on what it asks, in its order, as far as its answers find room."""
        while self._asked and self._may_ask(self._asked[0][1]):
            self._hand_on(*self._asked.popleft())
        if self._asked:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _may_ask(self, operation: Operation[Any]) -> bool:
        return self._has_room and (self._pages < PAGES or not isinstance(operation, LONG))

    def _hand_on(self, id: int, operation: Operation[Any]) -> None:
        if isinstance(operation, Subscribe):
            self._subscribe(id, operation)
            return
        is_long = isinstance(operation, LONG)
        self._pages += is_long

        def answered(answer: Any) -> None:
            self._pages -= is_long
            self._answer(id, answer)

        self._group.submit(self._number, operation, answered)

    def _answer(self, id: int, answer: Any) -> None:
        if not self._transport.is_closing():
            self._transport.write(encode_answer(id, answer))
            if self._asked:
                self._go_on()

    def _subscribe(self, id: int, asked: Subscribe) -> None:
        self._drop_feed()
        ledger = self._group.ledger
        feed = Feed(ledger, self._tell, self._takes_more, self._transport_abort, asked.after)
        self._answer(id, feed.seq)
        self._feed = feed
        self._group.feeds.add(feed)
        feed.go_on()

    def _transport_abort(self) -> None:
        log.warning("a client of the store does not read its events; it is disconnected")
        self._transport.abort()

    def _takes_more(self) -> bool:
        return self._has_room and not self._transport.is_closing()

    def _tell(self, event: Event) -> None:
        self._transport.write(self._server.encoded(event))

    def pause_writing(self) -> None:
        self._has_room = False

    def resume_writing(self) -> None:
        self._has_room = True
        self._go_on()
        if self._feed is not None:
            self._feed.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.clients.discard(self)
        self._drop_feed()
        self._group.gone(self._number)

    def _drop_feed(self) -> None:
        if self._feed is not None:
            self._group.feeds.discard(self._feed)
            self._feed = None

    def close(self) -> None:
        self._transport.close()


class Server:
    """Listens in the folder of the data, whose lock this process has."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.clients: set[Client] = set()
        self.closed = False
        self._numbers = itertools.count(1)
        self._frames: dict[int, tuple[Event, bytes]] = {}

    def encoded(self, event: Event) -> bytes:
        """Once for all who keep up."""
        known = self._frames.get(id(event))
        if known is None:
            known = self._frames[id(event)] = event, encode_event(event)
            if len(self._frames) > SHARED:
                del self._frames[next(iter(self._frames))]
        return known[1]

    async def listen(self, directory: Path) -> None:
        """Raises: OSError."""
        (directory / SOCKET).unlink(missing_ok=True)
        listener = sockets.socket(sockets.AF_UNIX)
        with Address(directory) as address:
            before = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(before)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Client(self, next(self._numbers)), sock=listener, backlog=1024
        )
        self._path = directory / SOCKET

    async def close(self) -> None:
        """What was asked for is answered first."""
        self._server.close()
        self.closed = True
        self.group.close()
        for client in list(self.clients):
            client.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
