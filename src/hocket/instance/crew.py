"""The crew: all processes of an instance. They are started, joined to each other, and replaced when
they die.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket as sockets
import time
from typing import Final

from hocket.broker.roles import WORKER
from hocket.instance.control import AnyMessage, CountAll, Hear, Open, Peer, Ready, Stop
from hocket.instance.hand import Adopted, Hand
from hocket.instance.roles import Role
from hocket.instance.totals import Left, Totals

log = logging.getLogger("hocket")

STEADY: Final = 10.0  # seconds after which a process's death is not a failure to start
SLOWEST: Final = 10.0  # seconds between two tries to replace a process


class Crew:
    """Those that are there.

    Args:
        roles: of which kinds; a number is a process's place, and its successor's if it dies.
        command: that the user gave.
        listener: the listening socket.
    """

    def __init__(self, roles: list[Role], command: list[str], listener: sockets.socket) -> None:
        self.roles = roles
        self._command = command
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self.hands: dict[int, Hand] = {}
        self.leaving: set[Hand] = set()  # have given their place to another, or are to take one
        self.totals = Totals(self.everybody)
        self._delays: dict[int, float] = {}
        self._awaited: set[int] = set()  # numbers of those that are soon started again
        self._changed = asyncio.Event()
        self.serving = False
        self.stopping = False

    def everybody(self) -> list[Hand]:
        return [*self.hands.values(), *self.leaving]

    def of(self, role: str) -> list[Hand]:
        """Those of a role that are not about to leave."""
        return [hand for hand in self.hands.values() if hand.role.name == role]

    # They come

    async def start(self, role: Role) -> Hand | None:
        """Start all of a role; one that cannot be started. One first: what is wrong with an
        application is said once, not by every process.
        """
        hands: list[Hand] = []
        for count in (1, role.count - 1) if role.count else ():
            some = [self._start(role, self.free_number()) for _ in range(count)]
            hands += some
            for hand in some:
                if not await hand.ready:
                    return hand
        return None

    def free_number(self) -> int:
        """The lowest that no process has."""
        taken = self._awaited | {hand.number for hand in self.everybody()}
        return next(number for number in itertools.count() if number not in taken)

    def _start(self, role: Role, number: int) -> Hand:
        hand = self.hands[number] = self.launch(role, number)
        return hand

    def launch(self, role: Role, number: int, old: sockets.socket | None = None) -> Hand:
        """A process that is joined to the others once it is one of `hands`."""
        return Hand.launch(role, number, self._command, self._listener, self._told, old=old)

    def adopt(self, process: Adopted, control: sockets.socket, left: Left) -> None:
        """A worker that was started before, and serves."""
        hand = self.hands[0] = Hand(self.roles[0], 0, process, control, self._told)
        hand.counted = left.counted
        hand.channel.go_on(left.received, left.unsent)
        hand.ready.set_result(True)
        self.totals.answer(hand)  # it may have asked what this process was before
        self.serve()
        self.look()  # it may have ended meanwhile

    def serve(self) -> None:
        """All are there: let clients in. One that replaces another hears it when it is ready."""
        self.serving = True
        for hand in self.hands.values():
            if hand.is_ready:
                hand.tell(Open())

    def _told(self, hand: Hand, message: AnyMessage) -> None:
        if isinstance(message, Ready) and hand not in self.leaving:
            self.introduce(hand)
            if self.serving:
                hand.tell(Open())
                log.info("%s is there again", hand)
        elif isinstance(message, CountAll):
            self.totals.answer(hand)

    def introduce(self, hand: Hand) -> None:
        """Join it to all others, but for programs of ours."""
        if hand.role.program is not None:
            return
        for other in self.hands.values():
            if other is not hand and other.is_ready and other.role.program is None:
                ends = sockets.socketpair()
                hand.tell(Peer(other.number, other.role.name), ends[0].detach())
                other.tell(Peer(hand.number, hand.role.name), ends[1].detach())

    def hear(self, emitter: sockets.socket) -> None:
        """An Emitter has come: some worker takes it on, and none for which too many wait."""
        ready = [hand for hand in self.of(WORKER) if hand.is_ready and not hand.channel.full]
        if ready:
            ready[0].tell(Hear(), emitter.detach())
        else:
            log.warning("an Emitter is turned away: no worker takes it")
            emitter.close()

    # And go

    def look(self) -> None:
        """Some child has ended."""
        for hand in self.everybody():
            if hand.process.poll() is not None:
                self._gone(hand)
        self._changed.set()

    def _gone(self, hand: Hand) -> None:
        hand.gone()
        self.totals.add(hand.counted.counters)
        if hand in self.leaving:
            self.leaving.discard(hand)
        else:
            del self.hands[hand.number]
            if (self.serving or hand.is_ready) and not self.stopping:
                self._replace(hand)

    def _replace(self, hand: Hand) -> None:
        steady = time.monotonic() - hand.began >= STEADY
        delay = self._delays.get(hand.number, 0.0)
        self._delays[hand.number] = 0.1 if steady else min(SLOWEST, max(0.1, delay * 2))
        delay = 0.0 if steady else delay
        log.error(
            "%s ended (%s)%s; another starts in %.1f s",
            hand,
            _how(hand.process.returncode),
            ", its clients with it" if hand.role.name == WORKER else "",
            delay,
            extra={hand.role.name: hand.number, "pid": hand.process.pid},
        )
        self._awaited.add(hand.number)
        self._loop.call_later(delay, self._start_again, hand.role, hand.number)

    def _start_again(self, role: Role, number: int) -> None:
        self._awaited.discard(number)
        if self.stopping:
            return
        try:
            self._start(role, number)
        except OSError as error:  # no memory, no process more, or its program is being replaced
            log.error("%s %d cannot start (%s): again in %.0f s", role.name, number, error, SLOWEST)
            self._awaited.add(number)
            self._loop.call_later(SLOWEST, self._start_again, role, number)

    async def stop(self, role: str, limit: float) -> None:
        """All of a role say goodbye, within `limit` seconds, and have ended then."""
        timer = self._loop.call_later(limit, self._cut_off, role, limit)
        for hand in self.everybody():
            if hand.role.name == role:
                hand.tell(Stop())
        while any(hand.role.name == role for hand in self.everybody()):
            self._changed.clear()
            await self._changed.wait()
        timer.cancel()

    def _cut_off(self, role: str, limit: float) -> None:
        for hand in self.everybody():
            if hand.role.name == role:
                log.error("%s does not end within %g s: it is killed", hand, limit)
        self.kill(role)

    def kill(self, role: str = "") -> None:
        """All of a role, or everybody."""
        for hand in self.everybody():
            if role in ("", hand.role.name):
                hand.process.kill()


def _how(status: int | None) -> str:
    status = status or 0
    return f"signal {-status}" if status < 0 else f"status {status}"
