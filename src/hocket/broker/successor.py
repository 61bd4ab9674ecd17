"""The broker of a process that has given its place to a newer one: everything goes through that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hocket.broker.base import OLD
from hocket.broker.channel import Channel
from hocket.broker.local import LocalBroker
from hocket.broker.messages import Answer, AnyMessage, Message, Question, encode
from hocket.broker.succession import Pass


class Successor:
    """The way to the newer process, which acts for the handlers that still run in this one.

    Args:
        loop: the event loop.
        channel: to it.
        questions: the id of the last one that this process has asked.
        broker: of this process, which may have the way to one before this.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: Channel,
        questions: int = 0,
        broker: LocalBroker | None = None,
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._broker = broker
        self._ids = questions
        self._asked: dict[int, asyncio.Future[Answer | None]] = {}

    def attend(self, read: Callable[[int, AnyMessage], None]) -> None:
        """Nobody asks anything of a process without clients."""

    def publish(self, message: Message) -> None:
        self._channel.send(encode(message))
        if self._broker is not None:
            self._broker.published(message)

    def send(self, peer: int, message: Message) -> None:
        if peer == OLD and self._broker is not None:
            self._broker.send(OLD, message)
        else:
            self._channel.send(encode(Pass(peer, encode(message))), counts=False)  # an answer

    def ask(self, question: Callable[[int], Question]) -> list[asyncio.Future[Answer | None]]:
        self._ids += 1
        message = question(self._ids)
        future = self._asked[message.id] = self._loop.create_future()
        if self._channel.closed:
            future.set_result(None)
        self._channel.send(encode(message))
        return [future]

    def answered(self, answer: Answer) -> None:
        future = self._asked.pop(answer.id, None)
        if future is not None and not future.done():
            future.set_result(answer)

    @property
    def full(self) -> bool:
        return self._channel.full
