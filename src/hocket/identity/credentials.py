"""What somebody shows: a token in `auth.token`, in the Authorization header or in a cookie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hocket.errors import TOKEN_REQUIRED, Denied

KEY_PREFIX: Final = "hk_"  # what API keys begin with (keys.py), and tokens do not


class Shown(NamedTuple):
    """A token, and whether it came in a cookie, which a browser adds by itself."""

    token: str
    by_cookie: bool = False


def shown(
    headers: Mapping[str, str], auth: Mapping[str, Any], cookie: str, cookies_count: bool
) -> Shown:
    """The token that is shown; of several the one in `auth`, then the header's.

    Args:
        cookie: the cookie's name.
        cookies_count: whether they do: not those of a foreign page.

    Raises: Denied.
    """
    if (token := auth.get("token")) is not None:
        if not isinstance(token, str):
            raise Denied(TOKEN_REQUIRED, "the token is not valid")
        return Shown(token)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Shown(token.strip())
    if cookies_count and (token := read_cookie(headers.get("cookie", ""), cookie)):
        return Shown(token, True)
    raise Denied(TOKEN_REQUIRED, "a token is needed")


def read_cookie(header: str, name: str) -> str:
    """The first cookie of that name (RFC 6265 section 5.4); empty without it."""
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""
