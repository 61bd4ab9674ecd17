"""One client's HTTP connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from hocket.hub.outbox import Backlog
from hocket.protocol.http1 import Body, Request

if TYPE_CHECKING:
    from hocket.transport.http import HttpTransport


class Intake(Protocol):
    """Takes a request's body as it comes."""

    @property
    def full(self) -> bool:
        """It has enough for now: no more is read until `HttpTransport.go_on`."""

    @property
    def has_begun(self) -> bool:
        """Whether the answer is under way."""

    def feed(self, part: bytes, whole: bool) -> None:
        """The next bytes; `whole` when no more come."""


class HttpStream:
    """One client's HTTP connection.

    `buffer` is what has come and is not read yet, `body` the body on its way, to `intake` if that
    wants it as it comes; `busy` while a request waits for its answer, with `keep_alive` as that
    request wants it; `on_abort` is called when the client goes meanwhile; `ending` once it says no
    more, of which `on_end` is told: without one, `on_abort` is. `since` is the wheel tick of the
    last progress, `got` what has come of a body since then. `is_large`: it holds one of the few
    bodies over `max_body`, `may_be_large`: it may come to that. `peer` and `over_tls`: who
    connected, and how; `address` and `secure`: the same of the client of the present request.
    """

    __slots__ = (
        "address", "backlog", "body", "buffer", "busy", "ending", "fd", "got", "intake", "is_large",
        "keep_alive", "leaving", "may_be_large", "on_abort", "on_end", "on_room", "over_tls",
        "peer", "request", "secure", "since", "transport",
    )  # fmt: skip

    def __init__(self, transport: HttpTransport, fd: int, peer: str, over_tls: bool) -> None:
        self.transport = transport
        self.fd = fd
        self.peer = self.address = peer
        self.over_tls = self.secure = over_tls
        self.buffer = b""
        self.request: Request | None = None
        self.body: Body | None = None
        self.intake: Intake | None = None
        self.got = 0
        self.busy = self.ending = self.is_large = self.may_be_large = False
        self.keep_alive = True
        self.leaving = False
        self.backlog: Backlog | None = None
        self.on_abort: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.on_room: asyncio.Event | None = None
        self.since = 0

    @property
    def is_resting(self) -> bool:
        """Between two requests."""
        return not (self.busy or self.buffer or self.request or self.backlog)
