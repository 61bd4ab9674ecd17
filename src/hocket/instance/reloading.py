"""Reload where there is a supervisor: every process that runs code of the user gives its place to
one with the code that is on disk now. If that does not start, all stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
import time
from collections import Counter
from typing import Final

from hocket.broker.roles import WORKER
from hocket.instance.control import Open, Retire
from hocket.instance.crew import Crew
from hocket.instance.desk import Refused, settle
from hocket.instance.hand import Hand
from hocket.instance.place import STOPPING

log = logging.getLogger("hocket")

STARTING: Final = 60.0  # seconds that new code may take to start
PATIENCE: Final = 5.0  # seconds in which a worker must say that it can give way; it takes 1 at most
NOT: Final = "not reloaded: {}; everything goes on as it was"
PART: Final = "reloaded only in part: {}; {} of {} processes have the new code"
BROKEN: Final = "not reloaded, or only in part: an internal error, see the server's log"
FAILS: Final = "the new code does not start"
STANDS: Final = "the event loop of {} has stood still for {:g} s: a handler holds it"
DIES: Final = "the new code ended before it had taken over"
STOPS: Final = "not reloaded: the server stops"
LOST: Final = (
    "reloaded only in part: the new process of {} ended while it took over, and its clients have "
    "to come anew; another starts"
)
SLOW: Final = f"the new code has not started within {STARTING:g} s"


class _Failed(Exception):
    """One process cannot be renewed; why."""


class Reloader:
    """Reloads a crew, once at a time.

    Args:
        crew: the processes.
        limit: seconds in which what runs in an old process must have ended, and its clients must
            have been sent away that could not move.
    """

    def __init__(self, crew: Crew, limit: float) -> None:
        self._crew = crew
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None
        self._again = False
        self._asked: list[asyncio.Future[str]] = []

    def soon(self) -> None:
        """Also while one is under way, which may have read older code."""
        self._again = True
        self.look()

    def look(self) -> None:
        """Begin what somebody wished while the crew was not there yet."""
        if self._again and self._crew.serving and (self._running is None or self._running.done()):
            self._running = self._loop.create_task(self._run())

    async def reload(self) -> str:
        """Reload, and say how it went. Raises Refused."""
        outcome: asyncio.Future[str] = self._loop.create_future()
        self._asked.append(outcome)
        self.soon()
        return await outcome

    async def _run(self) -> None:
        while self._again and not self._crew.stopping:
            self._again = False
            asked, self._asked = self._asked, []
            try:
                settle(asked, await self._reload())
            except Refused as refused:
                log.error("%s", refused)
                settle(asked, refused)
            except Exception:
                log.exception("internal error while reloading")
                settle(asked, Refused(BROKEN))
        asked, self._asked = self._asked, []
        settle(asked, Refused(STOPS))  # nobody is left to ask, unless it does

    async def _reload(self) -> str:
        """One process after the other; workers last, for what they need is there then."""
        began = time.monotonic()
        roles = [role for role in self._crew.roles if role.program is None]
        hands = [
            hand
            for role in sorted(roles, key=lambda role: role.name == WORKER)
            for hand in sorted(self._crew.of(role.name), key=lambda hand: hand.number)
        ]
        for done, hand in enumerate(hands):
            if self._crew.stopping:
                raise Refused(STOPS)
            try:
                await self._one(hand)
            except _Failed as why:
                part = PART.format(why, done, len(hands)) if done else NOT.format(why)
                raise Refused(part) from None
        counts = Counter(hand.role.name for hand in hands)
        words = [f"{name}{'s' * (name == WORKER)} {count}" for name, count in counts.items()]
        said = f"reloaded: {', '.join(words)}, seconds {time.monotonic() - began:.1f}"
        log.info("%s", said)
        return said

    async def _one(self, hand: Hand) -> None:
        if self._crew.hands.get(hand.number) is not hand:
            return  # it has died since: what is there instead has the new code
        if not hand.is_ready:
            hand.process.kill()  # it may have read the old code; another starts, as if it had died
        elif hand.role.name == WORKER:
            await self._renew(hand)
        else:
            await self._exchange(hand)

    async def _start(self, old: Hand, number: int, socket: sockets.socket | None = None) -> Hand:
        """A new process like an old one, ready, which nobody knows yet. Raises _Failed."""
        try:
            new = self._crew.launch(old.role, number, socket)
        except OSError as error:
            raise _Failed(f"no process can be started ({error})") from None
        finally:
            if socket is not None:
                socket.close()
        self._crew.leaving.add(new)
        began = self._loop.time()
        timer = self._loop.call_later(STARTING, new.process.kill)
        ready = await new.ready
        timer.cancel()
        if not ready:
            slow = self._loop.time() - began >= STARTING
            raise _Failed(self._is_there(old) or (SLOW if slow else FAILS))
        if why := self._is_there(old):
            new.process.kill()
            raise _Failed(why)
        return new

    def _is_there(self, old: Hand) -> str:
        """Why one cannot be renewed any more; empty if it can."""
        if self._crew.stopping:
            return "the server stops"
        is_there = self._crew.hands.get(old.number) is old
        return "" if is_there else f"{old} has ended meanwhile, and another starts"

    async def _renew(self, old: Hand) -> None:
        """A worker: all that it has moves to the new one, which has its number."""
        ours, theirs = sockets.socketpair()
        with ours:
            new = await self._start(old, old.number, theirs)
            try:
                gives = await old.give_way(new.process.pid, ours, PATIENCE)
            except TimeoutError:
                new.process.kill()
                raise _Failed(STANDS.format(old, PATIENCE)) from None
        if not gives:
            new.process.kill()
            raise _Failed(self._is_there(old) or DIES)
        self._takes_over(old, new)
        if not await new.took:
            raise Refused(LOST.format(old))
        if not self._crew.stopping:
            new.tell(Open())

    async def _exchange(self, old: Hand) -> None:
        """Another process: the new one is known to all before the old one ends."""
        new = await self._start(old, self._crew.free_number())
        self._takes_over(old, new)
        self._crew.introduce(new)
        new.tell(Open())
        knowing = self._loop.call_later(STARTING, new.process.kill)
        known = await new.took
        knowing.cancel()
        old.tell(Retire())
        if not known:
            raise _Failed(f"the new {new} ended at once, and another starts")

    def _takes_over(self, old: Hand, new: Hand) -> None:
        crew = self._crew
        del crew.hands[old.number]
        crew.hands[new.number] = new
        crew.leaving.discard(new)
        crew.leaving.add(old)
        self._loop.call_later(self._limit + STOPPING, self._end, old)

    def _end(self, old: Hand) -> None:
        """A thread, a hook or a loop that stands still must not keep it for ever."""
        if old in self._crew.leaving:
            log.warning("%s has given its place and does not end: it is killed", old)
            old.process.kill()
