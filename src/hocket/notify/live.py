"""Live notifications of one worker: what the store releases, told to the sockets of those it is
for, in the order of `seq`.

Every worker follows the store's events; `position` is the `seq` up to which all that were here have
been told. The rules that keep a client's sequence without a gap and without a repeat:

1. A socket enters at a position: it is told what is released after that, live. It does so before
   its CONNECT answer leaves, so an inbox that is loaded after `connect` has all that came before.
2. One that says where it was (`auth.after`, `Last-Event-ID`, or the process before this one does)
   catches up first: the inbox is asked for what came after, from a position on from which live ones
   are kept back for it. What the inbox has beyond that position is among those.
3. Positions are whole: a release whose recipients come in several events is told with the last.
4. Who was not there yet when a notification was accepted is not told of it, as the inbox does not
   have it: numbers decide, see store/base.py.
5. Who does not want it on the channel `live` is not told, live or later: `Residents.tastes` has the
   preferences of those who have any, and is asked for again when the store says that they changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from hocket.errors import ConnectError
from hocket.hub.hub import Hub
from hocket.hub.socket import CONNECTING, ENDED, MOVED, Socket
from hocket.identity.model import is_name
from hocket.notify.introductions import Introductions
from hocket.notify.jobs import Jobs
from hocket.notify.payload import NAMESPACE, marked_packet, notification_packet
from hocket.notify.residents import Residents
from hocket.protocol.engineio import EncodedPacket
from hocket.store.base import (
    Event,
    GetPreferences,
    Inbox,
    InboxRow,
    Marked,
    Operation,
    Preferred,
    Released,
    SeeUsers,
    Store,
    StoreError,
)
from hocket.store.taste import Subject, choosy, subject_of

log = logging.getLogger("hocket")

PAGE: Final = 100  # missed notifications that are asked for at a time: 6.5 MB, so none is cut short
STRIDE: Final = 64  # sockets that are told before others have their turn
AGAIN: Final = 0.2  # seconds until a store that is not there is asked again
MOST_HELD: Final = 100  # live ones that are kept for a socket while the inbox answers
PATIENCE: Final = 5.0  # seconds that a client waits for the store before it is let in without
MAX_CURSOR: Final = 1 << 62

T = TypeVar("T")


class Late:
    """A socket that catches up: what is released meanwhile waits here."""

    __slots__ = ("held", "number", "seen")

    def __init__(self, number: int, seen: int) -> None:
        self.number = number
        self.seen = seen  # what it has been told up to
        self.held: list[EncodedPacket] | None = None  # None: the inbox will be asked for them

    def hold(self, packet: EncodedPacket) -> None:
        if self.held is not None:
            self.held.append(packet)
            if len(self.held) > MOST_HELD:
                self.held = None


class Live:
    """Tells the clients of one worker.

    Args:
        hub: the worker's.
        store: where notifications come from.
        jobs: whoever waits for one in this process.
    """

    def __init__(self, hub: Hub, store: Store, jobs: Jobs) -> None:
        self._hub = hub
        self._store = store
        self._jobs = jobs
        self._spawn = hub.engine.loop.spawn
        self._introductions = Introductions(store, self._spawn)
        self.residents = Residents()
        self.late: dict[Socket, Late] = {}
        self.position = -1
        self._moved = asyncio.Event()  # the position has
        self._is_half_told = False  # a release has come in part: who it is for, so far
        self._number = -1
        self._chosen: set[str] = set()
        self._rest: deque[tuple[list[Socket], EncodedPacket]] = deque()

    # The store's events

    async def follow(self) -> None:
        """For as long as the worker lives."""
        while self.position < 0:
            try:
                self._advance((await self._store.do(SeeUsers(()))).seq)
            except StoreError:
                await asyncio.sleep(AGAIN)
        async for event in self._store.events(self.position):
            try:
                await self._hub.engine.room()
                await self._take(event)
            except Exception:
                log.exception("internal error in live notifications")

    async def _take(self, event: Event) -> None:
        if isinstance(event, Released):
            self._released(event)
            while self._rest:
                self._tell_some()
                await asyncio.sleep(0)
        elif isinstance(event, Marked):
            self._tell(self.residents.of((event.user,)), marked_packet(event))
            self.flush()
        elif isinstance(event, Preferred):
            if self.residents.knows(event.user):
                self._spawn(self._learn(event.user))
        else:
            self._jobs.told(event)

    def _released(self, event: Released) -> None:
        if event.seq <= self.position:
            return
        self._chosen |= self._here(event.users)
        if event.everybody:
            self._number = event.number
        self._is_half_told = not event.last
        if event.last:
            packet = notification_packet(event.seq, event.id, event.content, event.at)
            number, chosen, self._number, self._chosen = self._number, self._chosen, -1, set()
            self._tell_all(number, chosen, packet, subject_of(event.content))
            self._advance(event.seq)

    def _here(self, users: Iterable[str]) -> set[str]:
        late = {socket.user for socket in self.late}
        return {user for user in users if user in self.residents.users or user in late}

    def _tell_all(
        self, number: int, chosen: set[str], packet: EncodedPacket, subject: Subject
    ) -> None:
        """To those who have a number up to this one (-1: nobody), and to the chosen; but not to
        those who do not want it.
        """
        unwilling = self.residents.unwilling(subject)
        without = self.residents.of(unwilling)
        if number >= self.residents.highest:
            excluded = frozenset([socket.end for socket in without])
            self._hub.fanout.emit([self.residents], [], excluded, packet)
        else:
            told = dict.fromkeys([*self.residents.up_to(number), *self.residents.of(chosen)])
            for socket in without:
                told.pop(socket, None)
            self._tell(list(told), packet)
        for socket, late in self.late.items():
            meant = late.number <= number or socket.user in chosen
            if meant and socket.user not in unwilling:
                late.hold(packet)

    def _tell(self, sockets: list[Socket], packet: EncodedPacket) -> None:
        if sockets:
            self._rest.append((sockets, packet))

    def _tell_some(self) -> None:
        sockets, packet = self._rest.popleft()
        for socket in sockets[:STRIDE]:
            socket.deliver(packet)
        if sockets[STRIDE:]:
            self._rest.appendleft((sockets[STRIDE:], packet))

    def flush(self) -> None:
        """Tell now what is being told in strides."""
        while self._rest:
            self._tell_some()

    def _advance(self, seq: int) -> None:
        self.position = seq
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # Clients come

    def enter(self, socket: Socket, proceed: Callable[[], None]) -> None:
        """A socket whose `connect` handlers have let it in; `proceed` sends its CONNECT answer.

        Raises: ConnectError for a cursor that is none.
        """
        if not concerns(socket):
            proceed()
            return
        after = cursor_of(socket)
        resident = self.residents.users.get(socket.user)
        if resident is not None and after is None and self._is_whole:
            self.residents.enter(socket, resident.number)
            proceed()
        else:
            self._spawn(self._come(socket, self._enter(socket, after, proceed)))

    @property
    def _is_whole(self) -> bool:
        return self.position >= 0 and not self._is_half_told

    async def _come(self, socket: Socket, way: Coroutine[Any, Any, None]) -> None:
        """Who cannot be made known is sent away: it would wait for its answer for ever."""
        try:
            with self.residents.expecting(socket.user):
                await way
        except Exception:
            log.exception("internal error in live notifications")
            if not _gone(socket):
                self._hub.dismiss(socket)
        finally:
            self.late.pop(socket, None)

    async def _introduce(self, user: str) -> tuple[int, int]:
        """The user's number, and the newest `seq`; what the user wants is known then."""
        number, newest, has_preferences = await self._introductions.introduce(user)
        if has_preferences:
            await self._learn(user)
        return number, newest

    async def _learn(self, user: str) -> None:
        """What a user wants to be told."""
        stored = await self._ask(GetPreferences(user))
        self.residents.like(user, choosy(stored, "live"))

    async def _enter(self, socket: Socket, after: int | None, proceed: Callable[[], None]) -> None:
        """Without a store, a client is let in all the same, and catches up when it is there."""
        before = max(self.position, 0)
        try:
            async with asyncio.timeout(PATIENCE):
                number, newest = await self._introduce(socket.user)
                if after is None:
                    await self._until(before)
        except TimeoutError:
            proceed()
            after = before if after is None else after
            self.late[socket] = Late(-1, after)
            number, newest = await self._introduce(socket.user)
        if after is None and socket.state == CONNECTING:
            self.residents.enter(socket, number)
        proceed()
        if after is not None:
            await self._catch_up(socket, number, min(after, newest))

    def arrived(self, socket: Socket, seen: int) -> None:
        """A socket of the process before this one, which was told up to `seen`. It may be moved on
        before this process has learnt anything of it.
        """
        self.late[socket] = Late(-1, seen)
        self._spawn(self._come(socket, self._arrived(socket, seen)))

    async def _arrived(self, socket: Socket, seen: int) -> None:
        number, newest = await self._introduce(socket.user)
        await self._catch_up(socket, number, min(seen, newest))

    def seen_by(self, socket: Socket) -> int:
        """Up to which `seq` a socket was told, all that is under way included; -1: it is none of
        those who are.
        """
        if (late := self.late.get(socket)) is not None:
            return late.seen
        return self.position if self.residents in socket.joined else -1

    # Catching up

    async def _catch_up(self, socket: Socket, number: int, after: int) -> None:
        late = self.late[socket] = Late(number, after)
        while not _gone(socket):
            await self._until(late.seen)
            if await self._catch_up_once(socket, late):
                return

    async def _until(self, seq: int) -> None:
        """Until this worker is there, and no release half told."""
        while self.position < seq or not self._is_whole:
            await self._moved.wait()

    async def _catch_up_once(self, socket: Socket, late: Late) -> bool:
        """Tell a page of what was missed; whether that was all."""
        start, late.held = self.position, []
        if late.seen == start:  # nothing can be missing
            self.residents.enter(socket, late.number)
            return True
        rows, whole = await self._missed(socket.user, late.seen, start)
        if _gone(socket):
            return True
        for row in rows:
            socket.deliver(notification_packet(row.seq, row.id, row.content, row.at))
            late.seen = row.seq
        if whole and self._is_whole and late.held is not None:
            for packet in late.held:
                socket.deliver(packet)
            self.residents.enter(socket, late.number)
            return True
        late.held = None
        await socket.until_taken()
        return False

    async def _missed(self, user: str, after: int, upto: int) -> tuple[list[InboxRow], bool]:
        """A page of what the user was to be told, archived or not, up to a position; whether that
        was all.
        """
        found: list[InboxRow] = []
        start = upto
        for archived in (False, True):
            page = await self._ask(
                Inbox(user, after=after, limit=PAGE, archived=archived, channel="live")
            )
            found += page
            if len(page) == PAGE:
                upto = min(upto, page[-1].seq)
        rows = sorted((row for row in found if row.seq <= upto), key=lambda row: row.seq)
        return rows, upto == start

    async def _ask(self, question: Operation[T]) -> T:
        """Waits for as long as the store is not there."""
        while True:
            try:
                return await self._store.do(question)
            except StoreError:
                await asyncio.sleep(AGAIN)


def _gone(socket: Socket) -> bool:
    return socket.state in (ENDED, MOVED)


def concerns(socket: Socket) -> bool:
    """Whether a socket is one that notifications are told to."""
    return socket.nsp.name == NAMESPACE and is_name(socket.user)


def cursor_of(socket: Socket) -> int | None:
    """Where a client says that it was. An `id:` of another event's is none of ours.

    Raises: ConnectError for an `auth.after` that is no cursor.
    """
    handshake = socket.handshake
    after = handshake.auth.get("after")
    if after is None:
        last = handshake.headers.get("last-event-id", "") if socket.transport == "sse" else ""
        return _cursor(last)
    found = _cursor(after)
    if found is None:
        raise ConnectError(
            f"after={after!r:.40} is no cursor: give the seq of a notification", {"code": "invalid"}
        )
    return found


def _cursor(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < MAX_CURSOR else None  # type: ignore[operator, return-value]
