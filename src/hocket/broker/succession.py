"""What a process that gives its place to a newer one says to it, and what that one says back.

First all that is its own: sessions, links to other workers, idle connections; then `Given`. From
then on handlers that still run in the old process act through the new one (Act, Who, Call, Pass),
and hear from it what they wait for (Acked, Answered). Sessions that could not move yet are told
what is published (Act), and follow when they can (Coming, Go, Session, Came).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.broker.messages import Act, Answer, Call, Message, Moved, Packet, Who
from hocket.broker.roles import WORKER


class SocketOf(msgspec.Struct, array_like=True, frozen=True):
    """A socket of a session. `auth`: what its client said, as JSON. `calls`: ids of events whose
    acks the old process waits for. `seen`: see hub.Doorkeeper. `expires`: when its client's token
    does (seconds since 1970; 0: never).
    """

    id: str
    namespace: str
    user: str
    rooms: list[str]
    data: dict[str, Any]
    auth: bytes
    calls: list[int]
    seen: int = -1
    expires: float = 0.0


class Stream(msgspec.Struct, array_like=True, frozen=True):
    """An HTTP connection that waits for the answer to a poll or a post, with that answer's CORS
    fields.
    """

    peer: str
    over_tls: bool
    buffer: bytes
    keep_alive: bool
    fields: list[tuple[bytes, bytes]]


class Polling(msgspec.Struct, array_like=True, frozen=True):
    """What only a polling session has. Its fds come in the order of `poll`, `post`."""

    packets: list[Packet]
    poll: Stream | None
    post: Stream | None


class Session(Message, frozen=True, tag=20):
    """An Engine.IO session, with the fd of its connection or, for polling, of those that wait.

    `kept` and `assembler` are what a message in pieces has come to, `inbox` what was read and not
    handed on, `backlog` what the client has not taken yet.
    """

    sid: str
    transport: str
    wire: int
    head: bytes
    address: str
    secure: bool
    opened: float
    ping_age: float
    answered: bool
    sockets: list[SocketOf]
    kept: tuple[bytes, int, bool, list[bytes], bytes | None] | None
    inbox: list[tuple[int, bytes]]
    assembler: tuple[int, str, int | None, Any, int, list[bytes]] | None
    backlog: bytes
    polling: Polling | None


class LinkTo(Message, frozen=True, tag=21):
    """The socket to another process, with what was read of it and not used (and the files that came
    with that), what was to be written, and the questions that the old process waits for answers to.
    `leaving`: see Leaving. `is_newer`: than any other that the new process may have to it.
    """

    peer: int
    received: bytes
    unsent: bytes
    asked: list[int]
    share: int
    role: str = WORKER
    leaving: bool = False
    is_newer: bool = False


class Given(Message, frozen=True, tag=22):
    """That was all, but for the sessions in `left`, which follow as soon as they can: requests for
    them go to the old process until then. Ids continue from these: of acks by namespace, of
    questions.
    """

    ack_ids: dict[str, int]
    questions: int
    left: list[str]


class Pass(Message, frozen=True, tag=23):
    """Send a message, as it is and with the files that come along, to another worker."""

    peer: int
    message: bytes


class Acked(Message, frozen=True, tag=24):
    """A client answered a call of the old process, or (None) has gone."""

    namespace: str
    socket: str
    call: int
    args: list[Any] | None


class Answered(Message, frozen=True, tag=25):
    """Another worker answered a question of the old process, or (None) has gone."""

    peer: int
    id: int
    answer: Answer | None


class Ended(Message, frozen=True, tag=26):
    """A session that was left is no more: ask the old process for it no longer."""

    sid: str


class Coming(Message, frozen=True, tag=27):
    """Sessions that were left can come now: answer with Go, and keep what is published from then
    on, for they have not had it.
    """

    sids: list[str]


class Go(Message, frozen=True, tag=28):
    """The answer to Coming: what was published before has been told to the old process, and what
    is published from now on is told to those sessions here, as soon as they come.
    """

    sids: list[str]


class Came(Message, frozen=True, tag=29):
    """All sessions of the last Coming that could still come have come."""


class Several(Message, frozen=True, tag=30):
    """Messages, each with the number of its files, which come in the same order: together they
    take one `sendmsg` and one turn of the other side.
    """

    parts: list[tuple[bytes, int]]


class Farewell(Message, frozen=True, tag=32):
    """The answers that are left for a session that polled and that the old process has closed, the
    last one first.
    """

    sid: str
    answers: list[bytes]


class Missed(Message, frozen=True, tag=33):
    """More is published than you take: nothing of it is told you any more, and the sessions that
    you have still are to end, for they would miss something.
    """


# about what the old process had
Own = Session | LinkTo | Given | Moved | Ended | Coming | Came | Several | Farewell
FromOld = Own | Pass | Act | Who | Call
FromNew = Acked | Answered | Answer | Moved | Act | Go | Missed

_old: Final = msgspec.msgpack.Decoder(FromOld)
_new: Final = msgspec.msgpack.Decoder(FromNew)


def decode_from_old(data: bytes) -> FromOld:
    """Raises msgspec.DecodeError."""
    message: FromOld = _old.decode(data)
    return message


def decode_from_new(data: bytes) -> FromNew:
    """Raises msgspec.DecodeError."""
    message: FromNew = _new.decode(data)
    return message
