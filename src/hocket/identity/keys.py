"""API keys: what servers show, `hk_<id>_<secret>`. A key is no user.

The secret is 32 random bytes, so its bare SHA-256 may be kept: nothing can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final

from hocket.errors import UsageError
from hocket.identity.credentials import KEY_PREFIX
from hocket.store.base import KeyRow

SCOPES: Final = {
    "notify": "send notifications, cancel them, and see how they went",
    "devices": "register and remove devices of any user",
    "topics": "put users into topics and take them out",
    "read": "see notifications and how they went",
    "*": "everything",
}
_KEY = re.compile(r"hk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY: Final = bytes(32)


def make_key(name: str, scopes: Iterable[str], now: float) -> tuple[str, KeyRow]:
    """A new key, to be shown once, and what is kept of it. Raises UsageError."""
    chosen = tuple(sorted(set(scopes))) or ("*",)
    for scope in chosen:
        if scope not in SCOPES:
            raise UsageError(f"there is no scope {scope!r}; there are: {', '.join(SCOPES)}")
    if len(name) > 200 or not name.isprintable():
        raise UsageError("a key's name is at most 200 printable characters")
    id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return f"{KEY_PREFIX}{id}_{secret}", KeyRow(id, hash_of(secret), name, chosen, now)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def split(text: str) -> tuple[str, str] | None:
    """A key's id and secret; None if it is no key."""
    match = _KEY.fullmatch(text)
    return (match[1], match[2]) if match else None


def fits(row: KeyRow | None, secret: str) -> bool:
    """Whether it is this key's secret. Takes as long for a key that there is not."""
    same = hmac.compare_digest(row.hash if row else _NOBODY, hash_of(secret))
    return same and row is not None
