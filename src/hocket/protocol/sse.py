"""Server-Sent Events: the stream that a browser's `EventSource` reads (HTML standard, section 9.2).

    : ping                      a comment, so that proxies see that the stream lives
    event: message
    data: [{"text":"hello"}]    the event's arguments, a JSON array
    id: 17                      where there is a cursor: comes back as `Last-Event-ID`

A client over SSE is told events and nothing else: it cannot answer, and what Socket.IO's other
packets say goes without saying here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

from msgspec import json

PING: Final = b": ping\n\n"
_EVENT = re.compile(rb"4(?:2|5\d+-)(?:/[^,]*,)?\d*(\[.*)", re.DOTALL)
_BREAKS = str.maketrans("\r\n", "  ")


def opening(retry: float) -> bytes:
    """The first bytes of a stream. `retry`: seconds after which a client that lost it comes
    back.
    """
    return b"retry: %d\n\n" % round(retry * 1000)


def event_bytes(name: str, args: Sequence[Any], cursor: str = "") -> bytes:
    """One event. A line break cannot stand in a name or a cursor: it becomes a space."""
    lines = [
        b"event: " + name.translate(_BREAKS).encode(),
        b"data: " + json.encode(args),
        *([b"id: " + cursor.translate(_BREAKS).encode()] if cursor else []),
    ]
    return b"\n".join(lines) + b"\n\n"


def from_packet(text: bytes, attachments: Sequence[bytes], cursor: str) -> bytes:
    """An Engine.IO packet, as this stream says it: an event, a comment for a ping, else nothing.

    Binary arguments become base64 strings: the stream is text.
    """
    if text == b"2":
        return PING
    match = _EVENT.fullmatch(text)
    if match is None:
        return b""
    name, *args = json.decode(match[1])
    return event_bytes(name, _filled(args, attachments) if attachments else args, cursor)


def _filled(value: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(value, list):
        return [_filled(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    number = value.get("num")
    if (
        value.get("_placeholder") is True
        and isinstance(number, int)
        and 0 <= number < len(attachments)
    ):
        return b64encode(attachments[number]).decode("ascii")
    return {key: _filled(item, attachments) for key, item in value.items()}
