"""All clients of one process, in one epoll: no task, no object for a client that is in.

A client that is in is its fd and its number, two dict entries; what is kept beside that is only the
rest of an unfinished frame. On its way in it is an Attempt. 15,000 to 20,000 of them, as many as a
process may open files, take 2-3 MB.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket as sockets
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Protocol

import httptools

from hocket.bench.handshake import MAX_SIZE, Handshake, choose, closing
from hocket.bench.plan import SECOND, Plan
from hocket.bench.speech import Speech
from hocket.bench.wire import AnswerFirst, wire_to
from hocket.errors import HocketError
from hocket.protocol.websocket import BINARY, CLOSE, PING, PONG, TEXT
from hocket.protocol.websocket_client import server_frames

READ: Final = 65_536
BATCH: Final = 256  # events of one turn: between two turns the schedule is looked at
BACK_OFF: Final = 0.1  # seconds before the first further try; twice as long each time
EXACT: Final = 0.005  # seconds; a shorter wait is by select(), which knows microseconds
NO_PORT: Final = getattr(sockets, "IP_BIND_ADDRESS_NO_PORT", 24)
NEVER: Final = 1 << 62
REASONS: Final = 20  # that are told apart


class Listener(Protocol):
    """Who is told about clients."""

    def ready(self, fd: int, number: int, intended: int) -> None:
        """One is in; it was to start at `intended`."""

    def text(self, fd: int, text: bytes) -> None: ...
    def lost(self, fd: int, number: int) -> None: ...
    def failed(self, number: int) -> None:
        """One did not get in, and no more tries are left."""


class Attempt:
    """A client on its way in."""

    __slots__ = ("deadline", "fd", "handshake", "intended", "number", "to_send", "tries")

    def __init__(self, handshake: Handshake, number: int, intended: int, tries: int) -> None:
        self.handshake = handshake
        self.number = number
        self.intended = intended
        self.tries = tries
        self.deadline = 0
        self.to_send = b""
        self.fd = -1


class Clients:
    """The clients of a process.

    Args:
        plan: what is measured.
        process: the number of this process, for the source addresses of its clients.
        listener: is told what happens.
        window: handshakes that may be under way.
    """

    def __init__(self, plan: Plan, process: int, listener: Listener, window: int) -> None:
        self.plan = plan
        self.speech = Speech(plan)
        self.live: dict[int, int] = {}  # fd to number, the oldest first
        self.connecting: dict[int, Attempt] = {}
        self.failures: Counter[str] = Counter()  # of tries, by reason
        self.losses: Counter[str] = Counter()
        self.unsent = 0
        self._listener = listener
        self._window = window
        self._make = choose(plan.transport, plan.raw)
        self._wire = wire_to(plan.target, plan.insecure)
        self._sources = plan.target.sources(process, plan.largest_share)
        self._made = 0
        self._waiting: deque[tuple[int, int, int]] = deque()  # number, intended, tries
        self._later: list[tuple[int, int, int, int]] = []  # when, and then as above
        self._swept = self._begin = 0
        self._rest: dict[int, bytes] = {}
        self._unsent: dict[int, bytes] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()

    # Coming in

    def open(self, number: int, intended: int = 0) -> None:
        """Let a client in as soon as the window has room. `intended`: from when its handshake
        counts; 0: from when it is started.
        """
        self._waiting.append((number, intended, 1))

    def begin(self, at: int) -> None:
        """Start nobody before that moment."""
        self._begin = at

    @property
    def is_settled(self) -> bool:
        """Nobody is on the way in."""
        return not (self._waiting or self._later or self.connecting)

    def fill(self, now: int) -> None:
        """Start who may start."""
        while self._later and self._later[0][0] <= now:
            self._waiting.append(heapq.heappop(self._later)[1:])
        while self._waiting and now >= self._begin and len(self.connecting) < self._window:
            number, intended, tries = self._waiting.popleft()
            attempt = Attempt(self._make(self.speech, number), number, intended or now, tries)
            _run(attempt, None)
            self._dial(attempt, now)
        if now - self._swept > SECOND:
            self._sweep(now)

    def due(self) -> int:
        """When `fill` has something to do next."""
        later = self._later[0][0] if self._later else NEVER
        if self._waiting and not self.connecting:
            return min(later, self._begin)
        return min(later, self._swept + SECOND) if self.connecting else later

    def _dial(self, attempt: Attempt, now: int) -> None:
        attempt.deadline = now + self.plan.timeout_ns
        try:
            attempt.fd = fd = self._connect()
        except OSError as error:
            self._again(attempt, _why(error))
            return
        self.connecting[fd] = attempt
        # Most often a client on this machine is connected now, and need not wait to be told so.
        self._epoll.register(fd, select.EPOLLIN)
        self._send_first(attempt)

    def _connect(self) -> int:
        """A new connection, or one that is about to be; its fd. Raises OSError."""
        target = self.plan.target
        client = self._wire.socket(target.family)
        try:
            client.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            if self._sources:
                client.setsockopt(sockets.IPPROTO_IP, NO_PORT, 1)
                self._made += 1
                client.bind((self._sources[self._made % len(self._sources)], 0))
            wrong = client.connect_ex((target.address, target.port))
            if wrong not in (0, errno.EINPROGRESS):
                raise OSError(wrong, os.strerror(wrong))
        except OSError:
            client.close()
            raise
        return self._wire.keep(client)

    def _send_first(self, attempt: Attempt) -> None:
        try:
            sent = self._wire.write(attempt.fd, attempt.to_send)
        except AnswerFirst:
            return
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(attempt, _why(error))
            return
        attempt.to_send = attempt.to_send[sent:]
        if attempt.to_send:
            self._epoll.modify(attempt.fd, select.EPOLLOUT)

    def _step(self, fd: int, attempt: Attempt, event: int) -> None:
        """Something has happened to a client on its way."""
        if attempt.to_send:
            self._epoll.modify(fd, select.EPOLLIN)
            self._send_first(attempt)
            return
        try:
            data = self._wire.read(fd, READ)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "closed by the server")
            is_same = _run(attempt, data)
        except StopIteration as end:
            self._is_in(fd, attempt, end.value)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(attempt, _why(error))
        except (HocketError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(attempt, str(error) or "an upgrade that nobody asked for")
        else:
            self._go_on_with(attempt, is_same)

    def _go_on_with(self, attempt: Attempt, is_same: bool) -> None:
        if not is_same:
            self._drop(attempt)
            _run(attempt, b"")
            self._dial(attempt, time.monotonic_ns())
        elif attempt.to_send:
            self._send_first(attempt)

    def _is_in(self, fd: int, attempt: Attempt, data: bytes) -> None:
        del self.connecting[fd]
        self.live[fd] = attempt.number
        if attempt.to_send:
            self.send(fd, attempt.to_send)
        if fd not in self.live:  # it was closed at once
            return
        self._listener.ready(fd, attempt.number, attempt.intended)
        if data:
            self._frames(fd, data)

    def _drop(self, attempt: Attempt) -> None:
        del self.connecting[attempt.fd]
        self._wire.close(attempt.fd)

    def _fail(self, attempt: Attempt, why: str) -> None:
        self._drop(attempt)
        self._again(attempt, why)

    def _again(self, attempt: Attempt, why: str) -> None:
        _count(self.failures, why)
        if attempt.tries > self.plan.retries:
            self._listener.failed(attempt.number)
            return
        wait = int(BACK_OFF * 2 ** (attempt.tries - 1) * SECOND)
        when = time.monotonic_ns() + wait + attempt.number * 7919 % wait  # not all at once
        heapq.heappush(self._later, (when, attempt.number, attempt.intended, attempt.tries + 1))

    def _sweep(self, now: int) -> None:
        """Give up who takes too long."""
        self._swept = now
        for attempt in [each for each in self.connecting.values() if each.deadline < now]:
            self._fail(attempt, f"no answer within {self.plan.timeout:g} s")

    # One turn

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """Call whenever `fd` can be read."""
        self._watched[fd] = call
        self._epoll.register(fd, select.EPOLLIN)

    def turn(self, wait: int) -> None:
        """Wait for at most so many nanoseconds, and serve who is ready."""
        seconds = max(0, wait) / SECOND
        if 0 < seconds < EXACT:
            select.select([self._epoll], [], [], seconds)
            seconds = 0
        for fd, event in self._epoll.poll(seconds, BATCH):
            if fd in self.live:
                if event & select.EPOLLOUT:
                    self._go_on(fd)
                if event & ~select.EPOLLOUT and fd in self.live:
                    self._read(fd)
            elif (attempt := self.connecting.get(fd)) is not None:
                self._step(fd, attempt, event)
            elif (call := self._watched.get(fd)) is not None:
                call()

    def _read(self, fd: int) -> None:
        try:
            data = self._wire.read(fd, READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(fd, _why(error))
            return
        # HOT: one whole short text, which is what comes 999 times of 1,000, without a parser.
        size = len(data) - 2
        if 0 <= size < 126 and data[0] == 0x81 and data[1] == size and fd not in self._rest:
            self._text(fd, data[2:])
        elif data:
            self._frames(fd, data)
        else:
            self._lose(fd, "closed by the server")

    def _frames(self, fd: int, data: bytes) -> None:
        try:
            frames, rest = server_frames(self._rest.pop(fd, b"") + data, MAX_SIZE)
        except HocketError as error:
            self._lose(fd, str(error))
            return
        if rest:
            self._rest[fd] = rest
        for opcode, payload in frames:
            if fd not in self.live:
                return
            if opcode == TEXT or (opcode == BINARY and self.plan.raw):
                self._text(fd, payload)
            elif opcode == PING:
                self.send(fd, self.speech.frame(payload, PONG))
            elif opcode == CLOSE:
                self._lose(fd, closing(payload))

    def _text(self, fd: int, text: bytes) -> None:
        if text.startswith(b"42") or self.plan.raw:
            self._listener.text(fd, text)
        elif text == b"2":
            self.send(fd, self.speech.pong)
        elif text == b"1":
            self._lose(fd, "closed by the server")
        elif text == self.speech.left:
            self._lose(fd, "disconnected by the app")
        else:
            self._listener.text(fd, text)

    # Speaking

    def send(self, fd: int, frame: bytes) -> bool:
        """Send a frame. Where the kernel takes no more the rest waits; with a rest that waits
        already nothing is sent, and this is False.
        """
        if fd in self._unsent:
            self.unsent += 1
            return False
        try:
            sent = self._wire.write(fd, frame)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(fd, _why(error))
            return False
        if sent < len(frame):
            self._unsent[fd] = frame[sent:]
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _go_on(self, fd: int) -> None:
        self._epoll.modify(fd, select.EPOLLIN)
        if rest := self._unsent.pop(fd, b""):
            self.send(fd, rest)

    # Leaving

    def leave(self, fd: int) -> None:
        """Let one go, of its own will."""
        if goodbye := self.speech.goodbye:
            self.send(fd, goodbye)
        if fd in self.live:
            self._forget(fd)

    def _lose(self, fd: int, why: str) -> None:
        _count(self.losses, why)
        self._listener.lost(fd, self._forget(fd))

    def _forget(self, fd: int) -> int:
        self._rest.pop(fd, None)
        self._unsent.pop(fd, None)
        self._wire.close(fd)
        return self.live.pop(fd)

    def close(self) -> None:
        """Let all go at once, without a word."""
        for fd in (*self.live, *self.connecting):
            self._wire.close(fd)
        self.live.clear()
        self.connecting.clear()
        self._epoll.close()


def _run(attempt: Attempt, data: bytes | None) -> bool:
    """Let a handshake go on with what came, until it waits for more; whether that is to come over
    the same connection. What it says meanwhile goes out in one write.
    """
    said = attempt.handshake.send(data)  # type: ignore[arg-type] # None begins it
    while said:
        attempt.to_send += said
        said = attempt.handshake.send(b"")
    return said is not None


def _count(reasons: Counter[str], why: str) -> None:
    """One more. A server that words each differently is not to fill the report with them."""
    why = "".join([each if each.isprintable() else "?" for each in why])
    reasons[why if why in reasons or len(reasons) < REASONS else "other reasons"] += 1


def _why(error: OSError) -> str:
    """A reason that counts together with others of its kind."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


_REASONS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "closed by the server",
    errno.EPIPE: "closed by the server",
    errno.ETIMEDOUT: "no answer from the network",
    errno.EADDRNOTAVAIL: "no port is left at the source address",
    errno.EMFILE: "no file descriptors are left",
}
