"""A worker in a process of its own, under a supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket as sockets
from typing import Final

from hocket.broker.channel import Channel, close_files
from hocket.instance.control import (
    GiveWay,
    Hear,
    Open,
    Peer,
    Ready,
    Stop,
    Took,
    decode,
    encode,
)
from hocket.instance.handover import Giver, Heir
from hocket.instance.place import Place
from hocket.instance.worker import Worker

ORPHANED: Final = 1.5  # seconds that a worker may take to end when its supervisor has died


class Member:
    """Does what the supervisor says.

    Args:
        worker: whose number is `place.number`.
        place: as the supervisor told it.
    """

    def __init__(self, worker: Worker, place: Place) -> None:
        self._worker = worker
        self._listener = sockets.socket(fileno=place.listener)
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        control = sockets.socket(fileno=place.control)
        self._supervisor = Channel(self._loop, control, self._told, self._orphaned)
        self._old = sockets.socket(fileno=place.old) if place.old >= 0 else None
        self._giver: Giver | None = None
        worker.join_others(place.number)

    async def serve(self) -> None:
        """Until the supervisor says `Stop`, or has gone."""
        # Ctrl-C goes to every process of a terminal, SIGTERM to every one of a systemd unit: the
        # supervisor decides what follows.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        await self._worker.prepare()
        self._worker.garbage.settle()
        if self._old is not None:
            self._heir = Heir(self._worker, self._old, self._took)
        self._supervisor.send(encode(Ready()))
        await self._end.wait()
        if self._giver is not None:
            await self._giver.give(self._worker.settings.reload_timeout)
        await self._worker.stop()
        if self._giver is not None:
            await self._giver.part()

    def _took(self) -> None:
        self._supervisor.send(encode(Took()))

    def _told(self, data: bytes, files: list[int]) -> None:
        message = decode(data)
        if isinstance(message, Peer) and self._worker.broker is not None and files:
            socket = sockets.socket(fileno=files.pop())
            self._worker.broker.link(message.number, socket)
        elif isinstance(message, Open):
            self._worker.open(self._listener)
        elif isinstance(message, Hear) and self._worker.broker is not None and files:
            self._worker.broker.hear(sockets.socket(fileno=files.pop()))
        elif isinstance(message, GiveWay) and files:
            self._giver = Giver(self._worker, sockets.socket(fileno=files.pop()))
            self._end.set()
        elif isinstance(message, Stop):
            self._end.set()
            if self._giver is not None:
                self._giver.hurry()
        close_files(files)

    def _orphaned(self) -> None:
        """Half a server must not stay behind."""
        self._loop.call_later(ORPHANED, os._exit, 1)
        self._end.set()
