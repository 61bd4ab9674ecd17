"""Tokens: signed statements of who somebody is (JSON Web Tokens, RFC 7519, with HS256, RFC 7518
section 3.2).
"""

from __future__ import annotations

from typing import Final

import jwt

from hocket.errors import UsageError

MIN_SECRET: Final = 32  # bytes, as RFC 7518 section 3.2 asks of a key for HS256


def check_secret(secret: str) -> None:
    """Raises UsageError for a secret that can be guessed."""
    if len(secret.encode()) < MIN_SECRET:
        raise UsageError(
            f"HOCKET_SECRET needs {MIN_SECRET} bytes or more, such as `openssl rand -hex 32` gives"
        )


def make_token(secret: str, user: str, now: float, lifetime: float) -> str:
    """A token that says its bearer is `user`, for `lifetime` seconds from `now` (seconds since
    1970).
    """
    return jwt.encode(
        {"sub": user, "iat": int(now), "exp": int(now + lifetime)}, secret, algorithm="HS256"
    )


def read_token(secret: str, token: str) -> str | None:
    """The user of a token that is ours and has not expired; else None."""
    try:
        claims = jwt.decode(
            token, secret, algorithms=["HS256"], options={"require": ["sub", "exp"]}
        )
    except jwt.InvalidTokenError:
        return None
    user = claims["sub"]
    return user if isinstance(user, str) and user else None
