"""Calls: events that wait for acks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hocket.errors import CallTimeout, Disconnected

if TYPE_CHECKING:
    from hocket.hub.socket import Socket


class Call:
    """One event that goes with an ack id to some connected sockets of a namespace, and what they
    answer.
    """

    __slots__ = ("_done", "_event", "_waiting", "acks", "id")

    def __init__(self, id: int, event: str, sockets: list[Socket]) -> None:
        self.id = id
        self.acks: list[list[Any]] = []
        self._event = event
        self._waiting = {socket for socket in sockets if socket.connected}
        self._done = asyncio.get_running_loop().create_future()
        for socket in self._waiting:
            if socket.calls is None:
                socket.calls = {}
            socket.calls[self.id] = self
        self._settle()

    def answer(self, socket: Socket, args: list[Any]) -> None:
        self.acks.append(args)
        self.forget(socket)

    @property
    def answers(self) -> list[Any]:
        return [ack_value(args) for args in self.acks]

    def forget(self, socket: Socket) -> None:
        """It has answered, or never will."""
        self._waiting.discard(socket)
        self._settle()

    def _settle(self) -> None:
        if not self._waiting and not self._done.done():
            self._done.set_result(None)

    async def all(self, timeout: float) -> list[Any]:
        """Every answer; raises CallTimeout."""
        if missing := await self.gather(timeout):
            raise CallTimeout(
                f"{missing} did not answer {self._event!r} in {timeout} s", self.answers
            )
        return self.answers

    async def gather(self, timeout: float) -> int:
        """Wait for the answers; how many have not come in `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._done
        except TimeoutError:
            pass
        finally:
            for socket in self._waiting:
                if socket.calls is not None:
                    socket.calls.pop(self.id, None)
        return len(self._waiting)

    async def one(self, timeout: float) -> Any:
        """The only answer; raises CallTimeout, Disconnected."""
        answers = await self.all(timeout)
        if not answers:
            raise Disconnected(f"the client left before it answered {self._event!r}")
        return answers[0]


def ack_value(args: list[Any]) -> Any:
    """What a call gives for an ack: its one argument, a tuple of several, None of none."""
    return args[0] if len(args) == 1 else tuple(args) if args else None


def ack_args(result: Any) -> list[Any]:
    """What an ack carries for a handler's result: a tuple is several arguments, None is none."""
    return list(result) if isinstance(result, tuple) else [] if result is None else [result]
