"""A store that another process keeps, over its socket. It comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from hocket.store.base import (
    Accept,
    Accepted,
    Claim,
    Event,
    Operation,
    Released,
    Settle,
    StoreError,
)
from hocket.store.wire import (
    EVENT,
    Address,
    Broken,
    Frames,
    Reply,
    Subscribe,
    answer_of,
    decode_reply,
    encode_request,
    event_of,
)

T = TypeVar("T")

PATIENCE: Final = 5.0  # seconds in which a store may be started again before callers are told
PAUSE: Final = 0.05  # seconds between two tries to reach it
AGAIN: Final = 5  # times that an operation is asked, if the store goes away under it
HIGH: Final = 1_048_576  # bytes of events that may wait for this process

# Leases are a connection's: on a new one these would mean something else. All others say the same
# when they are repeated, because they name what they are about.
ONCE: Final = (Claim, Settle)


class _Lost(Exception):
    """The connection ended before the answer came."""


class _Link(asyncio.Protocol):
    """One connection to a store."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._frames = Frames()
        self._asked: dict[int, tuple[Operation[Any], asyncio.Future[Any]]] = {}
        self._last = 0
        self._paused = False
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def ask(self, operation: Operation[Any]) -> asyncio.Future[Any]:
        """Raises: ValueError when it is too long. The future: _Lost, or what the store raised."""
        self._last += 1
        frame = encode_request(self._last, operation)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._asked[self._last] = operation, answer
            self._transport.write(frame)
        else:
            answer.set_exception(_Lost())
        return answer

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.take(data):
                self._take(decode_reply(frame))
        except (Broken, msgspec.DecodeError):
            self._transport.abort()

    def _take(self, reply: Reply) -> None:
        if reply.kind == EVENT:
            self.events.put_nowait(event_of(reply))
            if self.events.qsize() > 1_000 and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            return
        operation, answer = self._asked.pop(reply.id)
        if answer.done():  # nobody waits any more
            return
        try:
            answer.set_result(answer_of(operation, reply))
        except Exception as error:
            answer.set_exception(error)

    async def next_event(self) -> Event | None:
        """None: the connection has ended."""
        if self._paused and self.events.qsize() < 500 and self.is_open:
            self._paused = False
            self._transport.resume_reading()
        return await self.events.get()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        for _, answer in self._asked.values():
            if not answer.done():
                answer.set_exception(_Lost())
                answer.exception()  # whoever waits gets it; who does not is not warned of
        self._asked.clear()
        self.events.put_nowait(None)

    def close(self) -> None:
        self._transport.abort()


class Client:
    """A Store. It connects when it is first used.

    Operations under way when the store ends are asked again when it is back, except Claim and
    Settle, which raise StoreError.

    Args:
        directory: of the data.
        patience: seconds to wait for a store that is not there.
    """

    def __init__(self, directory: Path, patience: float = PATIENCE) -> None:
        self._directory = directory
        self._patience = patience
        self._link: _Link | None = None
        self._connecting: asyncio.Task[_Link] | None = None
        self._listening: set[_Link] = set()
        self._closed = False

    async def do(self, operation: Operation[T]) -> T:
        for again in range(AGAIN):
            link = self._link
            if link is None or not link.is_open:
                link = await self._linked()
            try:
                answer: T = await link.ask(operation)
                return _first_answer(operation, answer) if again else answer
            except _Lost:
                if isinstance(operation, ONCE) or self._closed:
                    break
                await asyncio.sleep(PAUSE * again)
        raise StoreError("the store went away before it answered")

    async def _linked(self) -> _Link:
        """The connection that all who wait for one share."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, task: asyncio.Task[_Link]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._link = task.result()

    async def _connect(self) -> _Link:
        """Raises: StoreError when no store is there for too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while not self._closed:
            try:
                return await connect(self._directory)
            except OSError as error:
                if loop.time() >= deadline:
                    raise StoreError(f"no store answers in {self._directory}: {error}") from None
            await asyncio.sleep(PAUSE)
        raise StoreError("the store is closed")

    async def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """See Store. What an interrupted Released had already told is left out when it comes
        again.
        """
        had = 0  # events of the release that follows `after`
        while not self._closed:
            try:
                link = await self._connect()
            except StoreError:
                continue
            self._listening.add(link)
            try:
                after = await link.ask(Subscribe(after))
                skip = had
                while (event := await link.next_event()) is not None:
                    if isinstance(event, Released):
                        after, had = (event.seq, 0) if event.last else (after, had + 1)
                        if skip:
                            had, skip = skip if not event.last else 0, skip - 1
                            continue
                    yield event
            except _Lost:
                pass
            finally:
                self._listening.discard(link)
                link.close()

    async def close(self) -> None:
        self._closed = True
        for link in (self._link, *self._listening):
            if link is not None:
                link.close()
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, StoreError):
                await self._connecting


def _first_answer(operation: Operation[T], answer: T) -> T:
    """Without the traces of having been asked twice."""
    if isinstance(operation, Accept) and isinstance(answer, Accepted) and answer.replayed:
        return msgspec.structs.replace(answer, replayed=answer.id != operation.id)
    return answer


async def connect(directory: Path) -> _Link:
    """Raises: OSError when nobody answers there."""
    with Address(directory) as address:
        _, link = await asyncio.get_running_loop().create_unix_connection(_Link, address)
    return link


async def is_served(directory: Path) -> bool:
    """Whether a store answers there."""
    try:
        link = await connect(directory)
    except OSError:
        return False
    link.close()
    return True
