"""permessage-deflate (RFC 7692): negotiation, and messages to and from their compressed form.

Agreed on without context takeover in either direction (section 7.1.1). So a message is compressed
by itself: all clients with the same window share its bytes, and an idle client costs no memory for
a window.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from hocket.errors import WebSocketError

NAME: Final = "permessage-deflate"
WINDOWS: Final = range(9, 16)  # zlib cannot compress with a window of 2**8 bytes
THRESHOLD: Final = 256  # bytes; what is shorter hardly shrinks, and costs as much to begin
TAIL: Final = b"\x00\x00\xff\xff"  # what a sender takes off the end of a message (section 7.2.1)
_NOT_UTF8: Final = 1007  # section 7.1 of RFC 6455 has no other for data that cannot be read
_TOO_BIG: Final = 1009
_PARAMETER = re.compile(r'\s*;\s*([\w!#$%&\'*+.^`|~-]+)\s*(?:=\s*("?)([\w!#$%&\'*+.^`|~-]+)\2)?\s*')
_BITS = re.compile(r"[89]|1[0-5]")


def negotiate(offers: str) -> tuple[int, str] | None:
    """The answer to a Sec-WebSocket-Extensions field: the window that the server compresses with,
    and the field's value; None if nothing that is offered will do.

    The first offer that will do counts (section 5.1). One with an unknown, a repeated or an
    impossible parameter is passed over (section 7.1).
    """
    for offer in _split(offers):
        name, semicolon, rest = offer.partition(";")
        if name.strip() == NAME and (given := _parameters(semicolon + rest)) is not None:
            window = int(given.get("server_max_window_bits") or 15)
            if window in WINDOWS:
                return window, _answer(given)
    return None


def _split(offers: str) -> Iterator[str]:
    """At commas outside quotes."""
    quoted = False
    start = 0
    for at, character in enumerate(offers):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield offers[start:at]
            start = at + 1
    yield offers[start:]


def _parameters(text: str) -> dict[str, str] | None:
    """The parameters of an offer; None if it must be declined."""
    given: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1] in given or not _is_valid(match[1], match[3]):
            return None
        given[match[1]] = match[3] or ""
        at = match.end()
    return given


def _is_valid(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "server_max_window_bits":
        return value is not None and bool(_BITS.fullmatch(value))
    return name == "client_max_window_bits" and (value is None or bool(_BITS.fullmatch(value)))


def _answer(given: dict[str, str]) -> str:
    """A client's window is not limited: whatever it is, 2**15 bytes read it."""
    answer = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
    if "server_max_window_bits" in given:
        answer += f"; server_max_window_bits={given['server_max_window_bits']}"
    return answer


def compress(message: bytes, window: int) -> bytes:
    """A message's compressed form (section 7.2.1). The level is zlib's own: lower ones save little
    time on short messages, higher ones few bytes.
    """
    squeezer = zlib.compressobj(wbits=-window)
    return (squeezer.compress(message) + squeezer.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]


def decompress(data: bytes, max_size: int) -> bytes:
    """The message of a compressed form (section 7.2.2). Raises WebSocketError: 1009 as soon as it
    is longer than `max_size` bytes, 1007 if `data` is no such form.

    What stands behind a final block is nothing (section 7.2.3.4).
    """
    reader = zlib.decompressobj(wbits=-15)
    try:
        message = reader.decompress(data + TAIL, max_size + 1)
    except zlib.error:
        raise WebSocketError(_NOT_UTF8, "the message is not deflated") from None
    if len(message) > max_size:
        raise WebSocketError(_TOO_BIG, f"the message is over {max_size} bytes")
    return message
