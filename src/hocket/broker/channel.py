"""A Channel: messages between two processes of an instance over a Unix socket, and with them
open files.

A message is a head (its length, and how many files come with it) and its bytes. Files travel as
SCM_RIGHTS (unix(7)), each batch with one message in one `sendmsg`, so that what one `recvmsg` hands
over belongs to the message that it ends in.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket as sockets
import struct
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, NamedTuple

log = logging.getLogger("hocket")

MOST_FILES: Final = 128  # with one message; the kernel takes 253
LONGEST: Final = 1 << 28  # bytes of a message; a longer one is no message of ours
_READ: Final = 65_536  # bytes asked for at a time; room for four times as many takes 15 us to make
_FILE: Final = 8_192  # bytes that an open file on its way counts as: of 16 MiB, 2,048 files
_MERGE: Final = 131_072  # bytes of small messages that leave in one write
_RETRY: Final = 0.005  # seconds until more files may be on their way
_SPACE: Final = sockets.CMSG_LEN(MOST_FILES * array("i").itemsize)
_HEAD: Final = struct.Struct("<IB")
_CLOSE_ON_EXEC: Final = getattr(sockets, "MSG_CMSG_CLOEXEC", 0)

Received = Callable[[bytes, list[int]], None]


def framed(message: bytes, files: int = 0) -> bytes:
    """A message as it travels, with the number of files that come with it."""
    return _HEAD.pack(len(message), files) + message


class Detached(NamedTuple):
    """A channel on its way to another process: the fd of its socket, what was read of an unfinished
    message and the files that came with it, and what was to be sent. `waiting`: the first message
    that brings files, and all behind it.
    """

    fd: int
    received: bytes
    files: list[int]
    unsent: bytes
    waiting: list[tuple[bytes, Sequence[int]]]


def _nobody_asks(full: bool) -> None:
    """For channels whose sender sends no more than a little."""


class Channel:
    """One end.

    Args:
        loop: the event loop that it lives in.
        socket: a connected Unix stream socket; the channel owns it.
        received: gets each message with its files, which it then owns. Fewer than were sent, when
            this process has no room for more open files.
        ended: called once, when the other side has gone or broken the form.
        limit: bytes that may wait to be sent before it is full, of messages that count.
        on_full: called with True when more wait, with False when half of it is left.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: sockets.socket,
        received: Received,
        ended: Callable[[], None],
        limit: int = LONGEST,
        on_full: Callable[[bool], None] = _nobody_asks,
    ) -> None:
        socket.setblocking(False)
        self._loop = loop
        self._socket = socket
        self._received = received
        self._ended = ended
        self._limit = limit
        self._on_full = on_full
        self._buffer = bytearray()
        self._files: deque[list[int]] = deque()
        # Messages, each with its files and how much it counts against the limit.
        self._queue: deque[tuple[bytes | memoryview, Sequence[int], int]] = deque()
        self._planned = False
        self.blocked = False  # the other side takes nothing right now
        self._deaf = False  # the other side takes no more
        self._held = False
        self.pending = 0
        self.full = False
        self.closed = False
        loop.add_reader(socket.fileno(), self._readable)

    # Sending

    def send(self, message: bytes, files: Sequence[int] = (), counts: bool = True) -> None:
        """At the end of this turn, or when the other side takes it. `files` are the channel's from
        now on: it closes them once they are on their way. What is longer than the other side
        takes is not sent. `counts`: whether it does against the limit.
        """
        if len(message) > LONGEST:
            log.error("a message of %d bytes is too long for another process", len(message))
        if self.closed or self._deaf or len(message) > LONGEST:
            close_files(files)
            return
        data = framed(message, len(files))
        weight = len(data) + _FILE * len(files) if counts else 0
        self._queue.append((data, files, weight))
        self.pending += weight
        if not self._planned and not self.blocked:
            self._planned = True
            self._loop.call_soon(self._flush)
        if self.pending > self._limit and not self.full:
            self.full = True
            self._on_full(True)

    def flush(self) -> None:
        """Send now what waits, as far as the other side takes it."""
        if not self.blocked:
            self._flush()

    @property
    def is_sent(self) -> bool:
        """Whether nothing waits to be sent, also of what does not count."""
        return not self._queue

    def _flush(self) -> None:
        self._planned = self.blocked = False
        try:
            while self._queue:
                self._send_some()
        except BlockingIOError:
            self.blocked = True
            self._loop.add_writer(self._socket.fileno(), self._writable)
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:  # files on their way count for the whole user
                self.blocked = True
                self._loop.call_later(_RETRY, self._flush)
            else:
                self._end_sending()
        if self.full and self.pending <= self._limit // 2:
            self.full = False
            self._on_full(False)

    def _end_sending(self) -> None:
        """The other side takes nothing any more. What it said before is still read: that it has
        gone is told behind its last words.
        """
        self._deaf = True
        self._drop()
        with contextlib.suppress(OSError):
            self._socket.shutdown(sockets.SHUT_WR)  # if it is there after all, it ends this, too

    def _drop(self) -> None:
        """What waits to be sent is not sent."""
        for _, files, _ in self._queue:
            close_files(files)
        self._queue.clear()
        self.pending = 0

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._flush()

    def _send_some(self) -> None:
        data, files, weight = self._queue[0]
        if files:
            sent = sockets.send_fds(self._socket, [data], files)
            close_files(files)
            self._queue.popleft()
        else:
            data, weight = self._take_small()
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                self._queue.appendleft((data, (), weight))
                raise
        left = min(weight, len(data) - sent)
        self.pending -= weight - left
        if sent < len(data):
            self._queue.appendleft((memoryview(data)[sent:], (), left))

    def _take_small(self) -> tuple[bytes | memoryview, int]:
        """The first messages that bring no files, as one, and what they count."""
        queue = self._queue
        data, _, weight = queue.popleft()
        parts, size = [data], len(data)
        while queue and size < _MERGE and not queue[0][1]:
            data, _, more = queue.popleft()
            parts.append(data)
            size += len(data)
            weight += more
        return parts[0] if len(parts) == 1 else b"".join(parts), weight

    # Receiving

    def hold(self) -> None:
        """Read no more until `release`."""
        if not self.closed and not self._held:
            self._held = True
            self._loop.remove_reader(self._socket.fileno())

    def release(self) -> None:
        if not self.closed and self._held:
            self._held = False
            self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def is_left(self) -> bool:
        """Whether the other side has gone, also if that has not been read yet."""
        if self.closed:
            return True
        try:
            return not self._socket.recv(1, sockets.MSG_PEEK | sockets.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def read_rest(self) -> None:
        """All that the other side, which has gone, has said."""
        while not self.closed and self._readable():
            pass

    def _readable(self) -> bool:
        """Read once; whether there was something."""
        try:
            data, files, flags = _receive(self._socket)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data, files, flags = b"", [], 0
        if not data:
            self._end()
            return False
        if files or flags & sockets.MSG_CTRUNC:
            self._files.append(files)
        self._buffer += data
        self._hand_on()
        return True

    def _hand_on(self) -> None:
        at, data = 0, self._buffer
        while len(data) - at >= _HEAD.size and not self.closed:
            length, files = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            if length > LONGEST:
                self._end()
                return
            if len(data) - start < length:
                break
            at = start + length
            came = self._files.popleft() if files and self._files else []
            try:
                self._received(bytes(data[start:at]), came)
            except Exception:  # else it would come again, with all before it, at each further read
                log.exception("internal error over a message of another process")
        del data[:at]

    # Moving

    def detach(self) -> Detached:
        """Leave the socket, open, to the caller, with all that was under way."""
        unsent = []
        while self._queue and not self._queue[0][1]:
            unsent.append(self._queue.popleft()[0])
        # Nothing of these has left: what a write leaves over is the first, and has no files.
        waiting = [(bytes(data[_HEAD.size :]), files) for data, files, _ in self._queue]
        self._queue.clear()
        files = list(chain.from_iterable(self._files))
        self._files.clear()
        fd = os.dup(self._socket.fileno())
        received = bytes(self._buffer)
        self.close()
        return Detached(fd, received, files, b"".join(unsent), waiting)

    def go_on(self, received: bytes, unsent: bytes, files: Sequence[int] = ()) -> None:
        """From where another process was; what waited there with files is to be sent again."""
        self._buffer = bytearray(received)
        if files:
            self._files.append(list(files))
        if unsent:
            self._queue.appendleft((unsent, (), len(unsent)))
            self.pending += len(unsent)
            self._loop.call_soon(self._flush)

    # Ending

    def close(self) -> None:
        """End it from this side; `ended` is not called. What waits to be sent is not sent."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._drop()
        for files in self._files:
            close_files(files)
        self._files.clear()

    def _end(self) -> None:
        if not self.closed:
            self.close()
            if self.full:
                self.full = False
                self._on_full(False)
            self._ended()


def _receive(socket: sockets.socket) -> tuple[bytes, list[int], int]:
    """What `socket.recv_fds` does, which takes flags and leaves them out (Python 3.13): the files
    would be open in every program that the app starts.
    """
    data, more, flags, _ = socket.recvmsg(_READ, _SPACE, _CLOSE_ON_EXEC)
    files = array("i")
    for level, kind, content in more:
        if level == sockets.SOL_SOCKET and kind == sockets.SCM_RIGHTS:
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    return data, list(files), flags


def close_files(files: Sequence[int]) -> None:
    for fd in files:
        os.close(fd)
