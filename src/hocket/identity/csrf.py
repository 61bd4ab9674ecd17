"""CSRF tokens: that a change which a browser asks for by cookie is meant by a page of ours.

A signed double submit: the page reads the token, the browser keeps it in a cookie, and both must
come with the change. It is signed with what the session's own cookie holds, which no other page can
read: so it belongs to that session, every worker can check it, and no secret needs keeping.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

COOKIE: Final = "hocket_csrf"
HEADER: Final = "x-csrf-token"
_LABEL: Final = b"hocket csrf 1:"


def make_csrf(session: str) -> str:
    """A token for a session, which is whatever its cookie holds."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{_sign(session, nonce)}"


def is_csrf(session: str, cookie: str, header: str) -> bool:
    """Whether both are the same token, and one of this session."""
    if not header.isascii() or not cookie.isascii() or len(header) > 200:
        return False
    nonce, _, mac = header.partition(".")
    same = hmac.compare_digest(cookie, header)
    return same and hmac.compare_digest(mac, _sign(session, nonce))


def _sign(session: str, nonce: str) -> str:
    return hmac.new(session.encode(), _LABEL + nonce.encode(), hashlib.sha256).hexdigest()
