"""What devices are told, and how it is made to fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec

from hocket.providers.base import Push

_encode: Final = msgspec.json.Encoder().encode
_PRIORITY: Final = {"very-low": "1", "low": "5", "normal": "10", "high": "10"}  # Apple's
_JOINER: Final = "\u200d"


def content(push: Push, title: str, body: str) -> dict[str, Any]:
    """A push as a service worker or an app gets it: what is empty is left out. `tag` replaces what
    has the same one.
    """
    told = {
        "id": push.notification,
        "title": title,
        "body": body,
        "data": push.data,
        "url": push.url,
        "icon": push.icon,
        "tag": push.collapse_key,
    }
    return {name: value for name, value in told.items() if value}


def fit(make: Callable[[str, str], Any], title: str, body: str, limit: int) -> bytes:
    """The JSON of `make(title, body)` in at most `limit` bytes: the body is cut for it, then the
    title, each with an ellipsis.

    Raises: ValueError when the rest alone is longer.
    """
    whole: bytes = _encode(make(title, body))
    if len(whole) <= limit:
        return whole
    if len(_encode(make(title, ""))) <= limit:
        return _longest(lambda length: _encode(make(title, cut(body, length))), len(body), limit)
    if len(_encode(make("", ""))) <= limit:
        return _longest(lambda length: _encode(make(cut(title, length), "")), len(title), limit)
    raise ValueError(
        f"data, url and icon take {len(_encode(make('', '')))} bytes, and there is room for {limit}"
    )


def _longest(make: Callable[[int], bytes], length: int, limit: int) -> bytes:
    """The last of `make(0)`, `make(1)`, ... that fits; the first one does."""
    least, most = 0, length
    while least < most:
        middle = (least + most + 1) // 2
        if len(make(middle)) <= limit:
            least = middle
        else:
            most = middle - 1
    return make(least)


def cut(text: str, length: int) -> str:
    """At most `length` characters of a text; an ellipsis is the last one if something is missing.
    What people see as one character (with its accents, of several emoji) stays whole.
    """
    if len(text) <= length:
        return text
    end = max(length - 1, 0)
    while end and _inside(text, end):
        end -= 1
    return text[:end].rstrip() + "…" if length else ""


def _inside(text: str, at: int) -> bool:
    """Whether a cut before `text[at]` would go through a grapheme: the rules of Unicode's annex 29
    that matter for what people write.
    """
    before, after = text[at - 1], text[at]
    if after == _JOINER or before == _JOINER or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True  # skin tones; the letters of a regional flag
    if _is_flag_half(after):  # flags are pairs
        start = at
        while start and _is_flag_half(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    return "\u1160" <= after <= "\u11ff" or (before, after) == ("\r", "\n")  # Hangul from parts


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def short_key(key: str, fits: bool, size: int) -> str:
    """A collapse key where a provider allows fewer characters: itself if it `fits`, else `size`
    characters (at most 64) that are always the same for it.
    """
    return key if fits else sha256(key.encode()).hexdigest()[:size]


def apns_key(key: str) -> str:
    """The `apns-collapse-id` of a collapse key: at most 64 bytes of ASCII."""
    return short_key(key, len(key) <= 64 and key.isascii() and key.isprintable(), 64)


def apns_headers(push: Push, now: float) -> dict[str, str]:
    """What Apple is told about how to deliver, by us or by FCM. `now`: seconds since 1970."""
    return {
        "apns-priority": _PRIORITY.get(push.urgency, "10"),
        "apns-expiration": str(int(now + push.ttl)) if push.ttl else "0",  # 0: now or never
        "apns-collapse-id": apns_key(push.collapse_key),
    }
