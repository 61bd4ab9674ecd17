"""An Identity: who somebody is, and how they showed it."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

How = Literal["token", "cookie", "key", "custom"]

MAX_USER: Final = 200  # characters of a user's name, as everywhere


def is_name(text: str) -> bool:
    """Whether it can be a user's name: 1-200 characters that UTF-8 can say. A lone surrogate, which
    Python's JSON reads ("\\ud800"), can neither be stored nor sent.
    """
    if not 0 < len(text) <= MAX_USER:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is.

    Attributes:
        user: the user's name (str); empty for an API key, and for whom `@app.authenticate` lets in
            without a name.
        expires: when this ends (seconds since 1970; 0: never).
        how: `token` (a JWT in `auth.token` or the Authorization header), `cookie` (a JWT in a
            cookie), `key` (an API key), `custom` (`@app.authenticate`).
        claims: the token's claims (dict), whatever else it says.
        key: the API key's id (str).
        scopes: what the API key may do (set of str).
    """

    user: str = ""
    expires: float = 0.0
    how: How = "custom"
    claims: dict[str, Any] = {}
    key: str = ""
    scopes: frozenset[str] = frozenset()
