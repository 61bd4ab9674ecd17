"""The broker of one machine: a Channel to each other process of the instance."""

from __future__ import annotations

import asyncio
import logging
import os
import socket as sockets
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

import msgspec

from hocket.broker.base import EMITTER, OLD
from hocket.broker.channel import Channel, close_files
from hocket.broker.messages import (
    Act,
    Answer,
    AnyMessage,
    Called,
    Leaving,
    Message,
    Moved,
    Ping,
    Pong,
    Present,
    Question,
    Share,
    decode,
    encode,
)
from hocket.broker.roles import WORKER
from hocket.broker.succession import Acked, Answered, LinkTo, Missed, Pass

log = logging.getLogger("hocket")

NEWS: Final = 32  # connections more or less, or if that is more ...
NEWS_EACH: Final = 4  # ... so many times the others that are to be told
SEVERAL: Final = 4  # others: with so many more, small changes are told every second time, and so on
LIMIT: Final = 16_777_216  # bytes that may wait for one process


def _nobody_asks() -> None:
    """For processes that let nobody in."""


class Link:
    """The way to one other process, how many connections it has, and what it was asked and has not
    answered.
    """

    __slots__ = ("asked", "channel", "leaving", "peer", "role", "share", "untold")

    def __init__(self, peer: int, role: str) -> None:
        self.peer = peer
        self.role = role
        self.channel: Channel
        self.leaving = False
        self.share = 0
        self.untold = False  # whether this one's share is news there that it did not take
        self.asked: dict[int, asyncio.Future[Answer | None]] = {}


class LocalBroker:
    """Links to all other processes.

    Args:
        loop: of this one.
        paused: called with True when another does not keep up, with False when all do again.
        moved: gets a client's connection that another gives up: its fd and what it said.
        limit: bytes that may wait for one of them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        paused: Callable[[bool], None],
        moved: Callable[[int, Moved], None],
        limit: int = LIMIT,
    ) -> None:
        self._loop = loop
        self._paused = paused
        self._moved = moved
        self._limit = limit
        self._read: Callable[[int, AnyMessage], None]
        self.heard: Callable[[], None] = _nobody_asks  # called when another's share has changed
        self._links: dict[int, Link] = {}
        self._given: dict[int, Link] = {}
        self._emitters: set[Channel] = set()
        self.old: Channel | None = None  # to the process that has given its place to this one
        self.left: set[str] = set()  # sessions that it has still
        self.behind = False  # whether more was published than it took: they end
        self.echoes = True  # whether it is told what is published here: it is not by itself
        self.since: list[Act] | None = None  # what was, since sessions are on their way here
        # To the process that has taken this one's place, which knows the others.
        self.after: Callable[[int, bytes], None] | None = None
        self._full: set[int] = set()
        # Not from 0: an answer to the dead process whose number this one has is none of its own.
        self._ids = int.from_bytes(os.urandom(6))
        self._told = 0
        self._looks = 0
        self._held = False

    def attend(self, read: Callable[[int, AnyMessage], None]) -> None:
        self._read = read

    # Links

    def link(self, peer: int, socket: sockets.socket, role: str = WORKER) -> None:
        """A way to the process of this number; an older one to the same number has ended."""
        self._link(peer, socket, role).channel.send(encode(Share(self._told)))

    def _link(self, peer: int, socket: sockets.socket, role: str) -> Link:
        if (old := self._links.get(peer)) is not None:
            old.channel.close()
            self._gone(old)
        link = self._links[peer] = Link(peer, role)
        link.channel = Channel(
            self._loop,
            socket,
            lambda data, files: self._received(link, data, files),
            lambda: self._gone(link),
            self._limit,
            # Producers wait for workers. Applications that hang are not to stop everybody: what
            # cannot be moved to one is refused by `emptiest`.
            lambda full: self._on_full(peer, full and role == WORKER),
        )
        if self._held:
            link.channel.hold()
        return link

    def hear(self, socket: sockets.socket) -> Channel:
        """A process that only emits, and acts for everybody as the app's own handlers do."""
        channel = Channel(
            self._loop,
            socket,
            lambda data, files: self._emitted(channel, data, files),
            lambda: self._emitters.discard(channel),
        )
        self._emitters.add(channel)
        self._look_at_emitters()
        return channel

    def _look_at_emitters(self) -> None:
        """They wait while too much waits here, and while another worker does not keep up."""
        for channel in self._emitters:
            if self._held or self._full:
                channel.hold()
            else:
                channel.release()

    def _emitted(self, channel: Channel, data: bytes, files: list[int]) -> None:
        close_files(files)
        try:
            message = decode(data)
        except msgspec.DecodeError as error:
            log.warning("an Emitter of another version? What it sent is no event: %s", error)
            self._emitters.discard(channel)
            channel.close()
            return
        if isinstance(message, Act):
            self._read(EMITTER, message)

    def has(self, worker: int) -> bool:
        """Whether there is another worker of this number."""
        link = self._links.get(worker)
        return link is not None and link.role == WORKER

    @property
    def peers(self) -> list[int]:
        return list(self._links)

    def _of(self, role: str) -> list[Link]:
        return [link for link in self._links.values() if link.role == role]

    def _gone(self, link: Link) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._on_full(link.peer, False)
        for future in link.asked.values():
            if not future.done():
                future.set_result(None)

    def hold(self, held: bool) -> None:
        """Read nothing from others, or go on: too much waits to be sent to clients here."""
        self._held = held
        self._look_at_emitters()
        for link in self._links.values():
            if held:
                link.channel.hold()
            else:
                link.channel.release()

    def close(self) -> None:
        """End all links; what waits is sent as far as it can be at once."""
        for channel in self._emitters:
            channel.close()
        for link in tuple(self._links.values()):
            link.channel.flush()
            link.channel.close()
            self._gone(link)

    # From process to process

    def give_links(self) -> list[tuple[LinkTo | Pass, list[int]]]:
        """All links, for the process that takes this one's place, with their sockets and behind
        each what waits with open files. Their questions are answered with `answer`.
        """
        given: list[tuple[LinkTo | Pass, list[int]]] = []
        for link in tuple(self._links.values()):
            link.channel.flush()
            if link.channel.closed:  # the other process has just ended
                continue
            left = link.channel.detach()
            message = LinkTo(
                link.peer,
                left.received,
                left.unsent,
                list(link.asked),
                link.share,
                link.role,
                link.leaving,
            )
            given.append((message, [left.fd, *left.files]))
            given += [(Pass(link.peer, data), list(files)) for data, files in left.waiting]
        self._given, self._links = self._links, {}
        for peer in tuple(self._full):
            self._on_full(peer, False)  # what waits there waits in the new process
        for channel in self._emitters:
            left = channel.detach()
            message = LinkTo(EMITTER, left.received, left.unsent, [], 0)
            given.append((message, [left.fd, *left.files]))
        self._emitters.clear()
        return given

    def take_link(self, given: LinkTo, fd: int, *files: int) -> None:
        """A link of the process before this one, which wants the answers to its questions; `files`
        came with the message that is half read.
        """
        socket = sockets.socket(fileno=fd)
        if given.peer == EMITTER:
            self.hear(socket).go_on(given.received, given.unsent, files)
            return
        if given.peer in self._links and not given.is_newer:
            # That process has ended, which the old one had not read yet, and another has its
            # number and is known here already.
            socket.close()
            close_files(files)
            for id in given.asked:
                self._tell_old(Answered(given.peer, id, None))
            return
        link = self._link(given.peer, socket, given.role)
        link.share, link.leaving = given.share, given.leaving
        for id in given.asked:
            future = link.asked[id] = self._loop.create_future()
            future.add_done_callback(partial(self._pass_back, given.peer, id))
        link.channel.go_on(given.received, given.unsent, files)

    def _pass_back(self, peer: int, id: int, future: asyncio.Future[Answer | None]) -> None:
        if not future.cancelled():
            self._tell_old(Answered(peer, id, future.result()))

    def _tell_old(self, message: Answered) -> None:
        if self.old is not None:
            self.old.send(encode(message), counts=False)

    def answered(self, message: Answered) -> None:
        """The process after this one has heard what this one had asked."""
        link = self._given.get(message.peer)
        future = link.asked.pop(message.id, None) if link is not None else None
        if future is not None and not future.done():
            future.set_result(message.answer)

    @property
    def questions(self) -> int:
        """The id of the last one: those of the process that takes this place follow it."""
        return self._ids

    @questions.setter
    def questions(self, last: int) -> None:
        self._ids = max(self._ids, last)

    # How many connections they have

    def shares(self) -> list[int]:
        """How many connections each other worker has."""
        return [link.share for link in self._of(WORKER)]

    def emptiest(self, role: str) -> int | None:
        """The process of a role that has the fewest connections; None: there is none, or those that
        there are take nothing. It is taken to have one more from now on, until it says how many.
        """
        links = [
            link
            for link in self._of(role)
            if not link.leaving and (role == WORKER or not link.channel.full)
        ]
        if not links:
            return None
        link = min(links, key=attrgetter("share"))
        link.share += 1
        return link.peer

    @property
    def news(self) -> int:
        """So many connections more or less are told at once. All hear of it, so the more they are,
        the fewer it may take.
        """
        return max(NEWS, NEWS_EACH * len(self._links))

    def announce(self, count: int) -> None:
        """Tell them how many this one has, if that is news."""
        if abs(count - self._told) >= self.news:
            self._announce(count)

    def tick(self, count: int, unchanged: bool) -> None:
        """Every so often: tell them also of a small change, or that there is none; with many
        others not every time.
        """
        self._looks += 1
        is_turn = self._looks % (1 + len(self._links) // SEVERAL) == 0
        untold = any(link.untold and not link.channel.blocked for link in self._links.values())
        if is_turn and (unchanged or untold or count != self._told):
            self._announce(count)

    def _announce(self, count: int) -> None:
        """To all but those that take nothing: only the last number is news when they do again."""
        self._told = count
        for link in self._links.values():
            link.untold = link.channel.blocked
        self._tell([link for link in self._links.values() if not link.untold], Share(count))

    # How full they are

    @property
    def full(self) -> bool:
        return bool(self._full)

    def _on_full(self, peer: int, full: bool) -> None:
        before = bool(self._full)
        if full:
            self._full.add(peer)
        else:
            self._full.discard(peer)
        if before != bool(self._full):
            self._paused(not before)
            self._look_at_emitters()

    # Messages

    def publish(self, message: Message) -> None:
        self._tell(self._of(WORKER), message)
        self.published(message)

    def published(self, message: Message) -> None:
        """What this process has published, itself or through the one after it."""
        if self.echoes and isinstance(message, Act):
            self.echo(message)

    def echo(self, message: Act) -> None:
        """Tell the process before this one what was published, for the sessions that it has. They
        end if it does not keep up: nobody else is to wait for what a handler there holds.
        """
        if self.old is None or not self.left or self.behind:
            return
        if self.old.full:
            self.fall_behind()
            return
        self.old.send(encode(message))
        if self.since is not None:
            self.since.append(message)

    def fall_behind(self) -> None:
        """The process before this one, and those before that, have missed something."""
        if self.old is not None and self.left and not self.behind:
            self.behind = True
            log.warning(
                "the process before this one does not keep up: the clients that it has still "
                "(%d) have to come anew",
                len(self.left),
            )
            self.old.send(encode(Missed()), counts=False)

    def tell_everybody(self, message: Message) -> None:
        """All others, of any role."""
        self._tell(self._links.values(), message)

    def _tell(self, links: Collection[Link], message: Message) -> None:
        if links:
            data = encode(message)
            for link in links:
                link.channel.send(data)

    def send(self, peer: int, message: Message, files: Sequence[int] = ()) -> None:
        """`files` are the link's from now on; of a worker that has gone they are closed."""
        # Nobody is to be stopped for an answer, which may be long: 50,000 sockets are over 16 MiB.
        self.pass_on(peer, encode(message), files, counts=not isinstance(message, Answer | Acked))

    def pass_on(
        self, peer: int, data: bytes, files: Sequence[int] = (), counts: bool = True
    ) -> None:
        """As `send`, of an encoded message."""
        channel = self.old
        if peer != OLD:
            channel = link.channel if (link := self._links.get(peer)) is not None else None
        if channel is not None:
            channel.send(data, files, counts)
            return
        close_files(files)
        if self.after is not None and peer >= 0 and not files:
            self.after(peer, data)

    def ask(self, question: Callable[[int], Question]) -> list[asyncio.Future[Answer | None]]:
        return self._ask(self._of(WORKER), question)

    def ping(self) -> list[asyncio.Future[Answer | None]]:
        """Ask all others, of any role, whether they have read what was sent before."""
        return self._ask(self._links.values(), Ping)

    def _ask(
        self, links: Iterable[Link], question: Callable[[int], Question]
    ) -> list[asyncio.Future[Answer | None]]:
        futures = []
        for link in links:
            self._ids += 1
            message = question(self._ids)
            future = link.asked[message.id] = self._loop.create_future()
            link.channel.send(encode(message))
            futures.append(future)
        return futures

    def _received(self, link: Link, data: bytes, files: list[int]) -> None:
        try:
            message = decode(data)
        except msgspec.DecodeError:
            log.exception("another worker sent what is no message")
            return
        if isinstance(message, Share):
            link.share = message.count
            self.heard()
        elif isinstance(message, Leaving):
            link.leaving = True
        elif isinstance(message, Ping):
            link.channel.send(encode(Pong(message.id)))
        elif isinstance(message, Moved):
            for fd in files:
                self._moved(fd, message)
        elif isinstance(message, Present | Called | Pong):
            future = link.asked.pop(message.id, None)
            if future is not None and not future.done():
                future.set_result(message)
        else:
            self._read(link.peer, message)
            if isinstance(message, Act):
                self.echo(message)
