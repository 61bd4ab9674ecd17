"""A process of an instance, as whoever started it sees it."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import subprocess
import time
from collections.abc import Callable
from typing import Final, Protocol

from hocket.broker.channel import Channel, close_files
from hocket.broker.roles import WORKER
from hocket.instance.control import (
    AnyMessage,
    Count,
    Counted,
    Give,
    Gives,
    GiveWay,
    Message,
    Ready,
    Settled,
    Stays,
    Took,
    decode,
    encode,
)
from hocket.instance.place import Place, deaf_children
from hocket.instance.roles import Role

LIMIT: Final = (
    1_048_576  # bytes that may wait for a process until others are chosen: 128 open files
)


class Process(Protocol):
    """What is asked of a child process; see subprocess.Popen."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...


class Adopted:
    """A child that was started by what this process was before it became a supervisor."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            except ChildProcessError:
                self.returncode = 1
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, 9)


class Hand:
    """One of them, from its start until its process has ended.

    Args:
        role: what it is.
        number: which; each process of an instance has its own.
        process: its process.
        control: the socket to it.
        told: gets what it says, after `ready`, `took` and `give_way` have.
        ended: called when it closes the socket.
    """

    def __init__(
        self,
        role: Role,
        number: int,
        process: Process,
        control: sockets.socket,
        told: Callable[[Hand, AnyMessage], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.role = role
        self.number = number
        self.process = process
        self.began = time.monotonic()
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.took: asyncio.Future[bool] = loop.create_future()
        self._heir = 0  # the pid of the process that is to take its place
        self._settled: asyncio.Future[bool] = loop.create_future()
        self._gives: asyncio.Future[bool] = loop.create_future()
        self.counted = Counted()  # what it said last of its numbers
        self._counting: asyncio.Future[bool] | None = None
        self._on_told = told
        self.channel = Channel(loop, control, self._received, ended, LIMIT)

    @classmethod
    def launch(
        cls,
        role: Role,
        number: int,
        command: list[str],
        listener: sockets.socket,
        told: Callable[[Hand, AnyMessage], None],
        ended: Callable[[], None] = lambda: None,
        old: sockets.socket | None = None,
    ) -> Hand:
        """Start it. `old`: a socket to the process whose place it is to take. Raises OSError."""
        ours, theirs = sockets.socketpair()
        place = Place(
            role.name,
            number,
            theirs.fileno(),
            listener.fileno() if role.name == WORKER else -1,
            -1 if old is None else old.fileno(),
        )
        with theirs, deaf_children():
            try:
                process = subprocess.Popen(  # noqa: S603 - the command that the user gave, or ours
                    role.program or command, pass_fds=place.files(), env=place.environment()
                )
            except OSError:
                ours.close()
                raise
        return cls(role, number, process, ours, told, ended)

    def __str__(self) -> str:
        return f"{self.role.name} {self.number}"

    def _received(self, data: bytes, files: list[int]) -> None:
        close_files(files)
        message = decode(data)
        if isinstance(message, Ready):
            _settle(self.ready, True)
        elif isinstance(message, Took):
            _settle(self.took, True)
        elif isinstance(message, Counted):
            self.counted = message
            self._end_counting()
        elif isinstance(message, Settled | Gives | Stays) and message.heir == self._heir:
            _settle(self._settled, isinstance(message, Settled))
            if not isinstance(message, Settled):
                _settle(self._gives, isinstance(message, Gives))
        self._on_told(self, message)

    def tell(self, message: Message, *files: int) -> None:
        self.channel.send(encode(message), files)

    async def give_way(self, heir: int, socket: sockets.socket, patience: float) -> bool:
        """Ask it to give all that it has to the process of pid `heir`, at the other end of
        `socket`. Whether it does; if not, it has ended, or serves as before.

        Raises TimeoutError: in `patience` seconds it has not said that everybody can move. Nothing
        does then, also not later.
        """
        loop = asyncio.get_running_loop()
        self._heir, self._settled, self._gives = heir, loop.create_future(), loop.create_future()
        self.tell(GiveWay(heir), socket.detach())
        async with asyncio.timeout(patience):
            if not await self._settled:
                return False
        self.tell(Give(heir))
        return await self._gives

    @property
    def can_count(self) -> bool:
        return self.is_ready and self.role.program is None

    def count(self) -> asyncio.Future[bool]:
        """Ask for its numbers, if it has answered since it was last asked; done when it has."""
        if self._counting is None:
            self._counting = asyncio.get_running_loop().create_future()
            self.tell(Count())
        return self._counting

    def _end_counting(self) -> None:
        if self._counting is not None:
            _settle(self._counting, True)
            self._counting = None

    @property
    def is_ready(self) -> bool:
        return self.ready.done() and self.ready.result()

    def gone(self) -> None:
        """Its process has ended: nobody waits for it any more. Its last words count."""
        for future in (self.ready, self.took, self._settled, self._gives):
            _settle(future, False)
        self._on_told = lambda hand, message: None
        self.channel.read_rest()
        self.channel.close()
        self._end_counting()


def _settle(future: asyncio.Future[bool], outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
