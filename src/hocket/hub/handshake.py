"""The Handshake: what is known of a client from the request that opened its connection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from hocket.protocol.http1 import Headers


class Handshake:
    """What a client came with. Read from the raw request head when somebody asks: kept as bytes it
    costs a tenth of a dict.

    Attributes:
        auth: the payload of the Socket.IO CONNECT packet (dict, empty when there was none; in
            `on_handshake` always empty): as the client sent it, whatever handlers did to theirs.
        address: the client's IP address (str).
        secure: whether the client came over TLS (bool; behind a proxy: what a trusted proxy said).

    Source: Socket.IO server API, `socket.handshake`.
    """

    __slots__ = ("_head", "_opened", "address", "auth", "secure")

    def __init__(
        self,
        head: bytes,
        address: str,
        opened: float,
        secure: bool,
        auth: dict[str, Any] | None = None,
    ) -> None:
        self._head = head
        self._opened = opened
        self.address = address
        self.secure = secure
        self.auth: dict[str, Any] = auth or {}

    @property
    def headers(self) -> Headers:
        """The request's headers: a case-insensitive mapping of str to str. Empty with the setting
        `keep_headers` off.
        """
        return Headers(self._head)

    @property
    def url(self) -> str:
        """The path with the query (str), such as `/socket.io/?EIO=4&transport=websocket`."""
        return self._head.split(b" ", 2)[1].decode("ascii") if self._head else ""

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters (dict of str)."""
        return dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))

    @property
    def time(self) -> datetime:
        """When the connection was opened (aware datetime, UTC)."""
        return datetime.fromtimestamp(self._opened, UTC)

    def __repr__(self) -> str:
        path = self.url.partition("?")[0]  # without the query, which may hold a token
        return f"<Handshake {self.address} {path} at {self.time:%H:%M:%S}>"
