"""Reload where there is a supervisor: every process that runs code of the user gives its place to
one with the code that is on disk now. If that does not start, all stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
import time
from typing import Final

from hocket.broker.roles import WORKER
from hocket.instance.control import GiveWay, Open, Retire
from hocket.instance.crew import Crew
from hocket.instance.desk import Refused, settle
from hocket.instance.hand import Hand

log = logging.getLogger("hocket")

STARTING: Final = 60.0  # seconds that new code may take to start
NOT: Final = "not reloaded: {}; everything goes on as it was"


class Reloader:
    """Reloads a crew, once at a time."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None
        self._again = False
        self._asked: list[asyncio.Future[str]] = []

    def soon(self) -> None:
        """Also while one is under way, which may have read older code."""
        self._again = True
        if self._crew.serving and (self._running is None or self._running.done()):
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

    async def _reload(self) -> str:
        """One process after the other; workers last, for what they need is there then."""
        began = time.monotonic()
        roles = [role for role in self._crew.roles if role.program is None]
        counts = []
        for role in sorted(roles, key=lambda role: role.name == WORKER):
            hands = sorted(self._crew.of(role.name), key=lambda hand: hand.number)
            for hand in hands:
                if self._crew.stopping:
                    raise Refused("not reloaded: the server stops")
                await (self._renew if role.name == WORKER else self._exchange)(hand)
            counts.append(f"{role.name}{'s' * (role.name == WORKER)} {len(hands)}")
        done = f"reloaded: {', '.join(counts)}, seconds {time.monotonic() - began:.1f}"
        log.info("%s", done)
        return done

    async def _start(self, old: Hand, number: int, socket: sockets.socket | None = None) -> Hand:
        """A new process like an old one, ready, which nobody knows yet. Raises Refused."""
        try:
            new = self._crew.launch(old.role, number, socket)
        except OSError as error:
            raise Refused(NOT.format(f"no process can be started ({error})")) from None
        finally:
            if socket is not None:
                socket.close()
        self._crew.leaving.add(new)
        timer = self._loop.call_later(STARTING, new.process.kill)
        ready = await new.ready
        timer.cancel()
        if not ready or self._crew.hands.get(old.number) is not old or not old.is_ready:
            new.process.kill()
            why = f"{old} has ended" if ready else "the new code does not start"
            raise Refused(NOT.format(why))
        return new

    async def _renew(self, old: Hand) -> None:
        """A worker: all that it has moves to the new one, which has its number."""
        ours, theirs = sockets.socketpair()
        with ours:
            new = await self._start(old, old.number, theirs)
            old.tell(GiveWay(), ours.detach())
        self._takes_over(old, new)
        if await new.took:
            new.tell(Open())

    async def _exchange(self, old: Hand) -> None:
        """Another process: the new one is known to all before the old one ends."""
        new = await self._start(old, self._crew.free_number())
        self._takes_over(old, new)
        self._crew.introduce(new)
        new.tell(Open())
        await new.took
        old.tell(Retire())

    def _takes_over(self, old: Hand, new: Hand) -> None:
        crew = self._crew
        del crew.hands[old.number]
        crew.hands[new.number] = new
        crew.leaving.discard(new)
        crew.leaving.add(old)
