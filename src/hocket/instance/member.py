"""A process under a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket as sockets
from typing import Final

from hocket.broker.base import EMITTER
from hocket.broker.channel import Channel, close_files
from hocket.broker.roles import WORKER
from hocket.instance.control import (
    AllCounted,
    AnyMessage,
    Count,
    CountAll,
    Give,
    Gives,
    GiveWay,
    Hear,
    Message,
    Numbers,
    Open,
    Peer,
    Ready,
    Settled,
    Stays,
    Stop,
    Took,
    decode,
    encode,
)
from hocket.instance.handover import Giver, Heir
from hocket.instance.metrics import counted
from hocket.instance.place import Place, end_with_parent, end_within, leave_signals
from hocket.instance.worker import Worker

log = logging.getLogger("hocket")

COMING: Final = 5.0  # seconds in which what an old process has must be here; it takes 0.1
PATIENCE: Final = 5.0  # seconds in which a supervisor answers; others have 2 to answer it
ORPHANED: Final = 1.5  # seconds that a process may take to end when its supervisor has died


class Member:
    """Does what the supervisor says. The base of all roles.

    Args:
        worker: not started yet; it is given `place.number`.
        place: as the supervisor told it.
    """

    def __init__(self, worker: Worker, place: Place) -> None:
        self.worker = worker
        self.loop = asyncio.get_running_loop()
        self.end = asyncio.Event()
        control = sockets.socket(fileno=place.control)
        self._supervisor = Channel(self.loop, control, self._received, self._orphaned)
        self._all_counted: asyncio.Future[list[Numbers]] | None = None
        worker.count_all = self._count_all
        worker.join_others(place.number, place.role)

    async def serve(self) -> None:
        """Until the supervisor says so, or has gone."""
        leave_signals()
        end_with_parent(ORPHANED)
        await self.begin()
        self.say(Ready())
        await self.end.wait()
        await self.finish()
        self.say(counted(self.worker))
        self._supervisor.flush()

    async def begin(self) -> None:
        """Everything that must be there before it is ready."""
        await self.worker.prepare()
        self.worker.garbage.settle()

    async def finish(self) -> None:
        """When `end` is set."""
        await self.worker.stop()

    def say(self, message: Message) -> None:
        """Tell the supervisor."""
        self._supervisor.send(encode(message))

    def _received(self, data: bytes, files: list[int]) -> None:
        message = decode(data)
        if isinstance(message, Peer) and self.worker.broker is not None and files:
            self.meet(message, sockets.socket(fileno=files.pop()))
        elif isinstance(message, Stop):
            self.end.set()
        elif isinstance(message, Count):
            self.say(counted(self.worker))
        elif isinstance(message, AllCounted) and self._all_counted is not None:
            self._all_counted.set_result(message.told)
            self._all_counted = None
        self.told(message, files)
        close_files(files)

    async def _count_all(self) -> list[Numbers]:
        """The numbers of all processes: who asks while others do gets the same answer. Raises
        TimeoutError.
        """
        if self._all_counted is None:
            self._all_counted = self.loop.create_future()
            self.say(CountAll())
        asked = self._all_counted
        try:
            return await asyncio.wait_for(asyncio.shield(asked), PATIENCE)
        except TimeoutError:
            if self._all_counted is asked:
                self._all_counted = None
            raise

    def meet(self, peer: Peer, socket: sockets.socket) -> None:
        """Another process is there."""
        if self.worker.broker is not None:
            self.worker.broker.link(peer.number, socket, peer.role)

    def told(self, message: AnyMessage, files: list[int]) -> None:
        """What else the supervisor says. Files that are left in the list are closed."""

    def _orphaned(self) -> None:
        """Half a server must not stay behind."""
        end_within(ORPHANED)
        self.end.set()


class WorkerMember(Member):
    """A worker."""

    def __init__(self, worker: Worker, place: Place) -> None:
        super().__init__(worker, place)
        self._listener = sockets.socket(fileno=place.listener)
        self._old = sockets.socket(fileno=place.old) if place.old >= 0 else None
        worker.takes_over = self._old is not None
        self._here = asyncio.Event()  # all that the process before it had is here, or is gone
        self._giver: Giver | None = None
        self._gives_to = 0  # the pid of the process that it is to give to, ...
        self._word = asyncio.Event()  # ... and whether it may
        self._giving: asyncio.Task[None] | None = None
        # Emitters that come while it takes over: what they say is for clients that are not here yet
        self._unheard: list[sockets.socket] | None = None if self._old is None else []

    async def begin(self) -> None:
        await super().begin()
        if self._old is not None:
            self._heir = Heir(self.worker, self._old, self._took, self._bereft)

    def _bereft(self) -> None:
        """The process before it has ended, or stays because everything stops."""
        if not self.end.is_set():
            _give_up()
        self._here.set()

    def _took(self) -> None:
        self._here.set()
        unheard, self._unheard = self._unheard or (), None
        for emitter in unheard:
            self._hear(emitter)
        self.say(Took())

    def _hear(self, emitter: sockets.socket) -> None:
        if self._unheard is not None:
            self._unheard.append(emitter)
        elif self._giver is not None and self._giver.has_given:
            self._giver.pass_link(EMITTER, WORKER, emitter.detach())
        elif self.worker.broker is not None:
            self.worker.broker.hear(emitter)

    def _plan(self, heir: int, socket: sockets.socket) -> None:
        """To give way. What was planned before has come to nothing: that heir was killed."""
        if self._giver is not None:
            self._giver.hurry()
        self._giver = giver = Giver(self.worker, socket, lambda: self.say(Gives(heir)))
        self._gives_to, self._word = heir, asyncio.Event()
        self._giving = self.loop.create_task(self._give_way(giver, heir, self._word))

    async def _give_way(self, giver: Giver, heir: int, word: asyncio.Event) -> None:
        """To a new process, if it is still there when everybody can move, and the supervisor still
        wants it: who was held for long hears of it too late.
        """
        limit = self.worker.settings.reload_timeout
        try:
            await giver.settle(limit)
            self.say(Settled(heir))
            await giver.allowed(word)
            gave = await giver.give(limit)
        except BaseException:
            self.end.set()
            raise
        if gave:
            self.end.set()
        else:
            self._giver = None if self._giver is giver else self._giver
            self.say(Stays(heir))

    async def finish(self) -> None:
        if self._old is not None:  # else those that come at this moment hear no goodbye
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._here.wait(), COMING)
        if self._giving is not None:
            await self._giving
        await super().finish()
        if self._giver is not None:
            await self._giver.part()

    def meet(self, peer: Peer, socket: sockets.socket) -> None:
        if self._giver is not None and self._giver.has_given:
            self._giver.pass_link(peer.number, peer.role, socket.detach())
        else:
            super().meet(peer, socket)

    def told(self, message: AnyMessage, files: list[int]) -> None:
        if isinstance(message, Open) and not self.end.is_set():
            self.worker.open(self._listener)
        elif isinstance(message, Hear) and files:
            self._hear(sockets.socket(fileno=files.pop()))
        elif isinstance(message, GiveWay) and files and not self.end.is_set():
            self._plan(message.heir, sockets.socket(fileno=files.pop()))
        elif isinstance(message, Give) and message.heir == self._gives_to:
            self._word.set()
        elif isinstance(message, Stop) and self._giver is not None:
            self._giver.hurry()


def _give_up() -> None:
    """The supervisor starts another, which is joined to the others as this one never was."""
    log.error("the worker before this one ended before it had given all: this one ends, too")
    os._exit(1)
