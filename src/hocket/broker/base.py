"""What a broker does for a hub, and what it promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from hocket.broker.messages import Answer, AnyMessage, Message, Question

OLD: Final = -1  # instead of a worker's number: the process that has given its place to this one

EMITTER: Final = -2  # a process that only emits (hocket.Emitter)

NOBODY: Final = -3  # a peer that is not there


class Broker(Protocol):
    """The other processes of the instance; of those, only workers have clients.

    To each of them messages arrive in the order in which they were published here, at most once:
    those on their way to a worker that dies are lost, and so are its clients. Messages of different
    workers have no common order.
    """

    def attend(self, read: Callable[[int, AnyMessage], None]) -> None:
        """`read(peer, message)` gets what others publish, ask and send."""

    def publish(self, message: Message) -> None:
        """Tell every other worker. The hub looks at `full` before it takes on more.

        Raises: TypeError for what cannot be encoded.
        """

    def send(self, peer: int, message: Message) -> None:
        """Tell one worker; nothing if it has gone."""

    def ask(self, question: Callable[[int], Question]) -> list[asyncio.Future[Answer | None]]:
        """Ask every other worker; `question` makes the message for an id. A future for each: its
        answer, or None if it goes before it has answered.
        """

    @property
    def full(self) -> bool:
        """A worker does not keep up: producers wait until it does."""
