"""A process under a supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import socket as sockets
from typing import Final

from hocket.broker.channel import Channel, close_files
from hocket.instance.control import (
    AnyMessage,
    GiveWay,
    Hear,
    Message,
    Open,
    Peer,
    Ready,
    Stop,
    Took,
    decode,
    encode,
)
from hocket.instance.handover import Giver, Heir
from hocket.instance.place import Place, end_with_parent, end_within, leave_signals
from hocket.instance.worker import Worker

log = logging.getLogger("hocket")

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
        worker.join_others(place.number, place.role)

    async def serve(self) -> None:
        """Until the supervisor says so, or has gone."""
        leave_signals()
        end_with_parent(ORPHANED)
        await self.begin()
        self.say(Ready())
        await self.end.wait()
        await self.finish()

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
            socket = sockets.socket(fileno=files.pop())
            self.worker.broker.link(message.number, socket, message.role)
        elif isinstance(message, Stop):
            self.end.set()
        self.told(message, files)
        close_files(files)

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
        self._giver: Giver | None = None
        # Emitters that come while it takes over: what they say is for clients that are not here yet
        self._unheard: list[sockets.socket] | None = None if self._old is None else []

    async def begin(self) -> None:
        await super().begin()
        if self._old is not None:
            self._heir = Heir(self.worker, self._old, self._took, _give_up)

    def _took(self) -> None:
        unheard, self._unheard = self._unheard or (), None
        for emitter in unheard:
            self._hear(emitter)
        self.say(Took())

    def _hear(self, emitter: sockets.socket) -> None:
        if self._unheard is not None:
            self._unheard.append(emitter)
        elif self.worker.broker is not None:
            self.worker.broker.hear(emitter)

    async def finish(self) -> None:
        if self._giver is not None:
            await self._giver.give(self.worker.settings.reload_timeout)
        await super().finish()
        if self._giver is not None:
            await self._giver.part()

    def told(self, message: AnyMessage, files: list[int]) -> None:
        if isinstance(message, Open):
            self.worker.open(self._listener)
        elif isinstance(message, Hear) and files:
            self._hear(sockets.socket(fileno=files.pop()))
        elif isinstance(message, GiveWay) and files:
            self._giver = Giver(self.worker, sockets.socket(fileno=files.pop()))
            self.end.set()
        elif isinstance(message, Stop) and self._giver is not None:
            self._giver.hurry()


def _give_up() -> None:
    """The supervisor starts another, which is joined to the others as this one never was."""
    log.error("the worker before this one ended before it had given all: this one ends, too")
    os._exit(1)
