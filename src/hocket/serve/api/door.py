"""Who calls, and whether they may: a user by their own token, a server by an API key."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping

from hocket.app import App
from hocket.errors import (
    CSRF_REQUIRED,
    KEY_INVALID,
    KEY_REQUIRED,
    NOT_ALLOWED,
    SCOPE_MISSING,
    TOKEN_REQUIRED,
    USER_REQUIRED,
    ConnectError,
    Denied,
)
from hocket.hub.handshake import Handshake
from hocket.identity.credentials import KEY_PREFIX, read_cookie
from hocket.identity.csrf import COOKIE, HEADER, is_csrf
from hocket.identity.keys import fits, split
from hocket.identity.model import Identity
from hocket.serve.api.endpoint import Endpoint
from hocket.serve.api.problems import Problem, challenge
from hocket.store.base import GetKey, StoreError

log = logging.getLogger("hocket")

SAFE = frozenset({"GET", "HEAD"})  # methods that change nothing (RFC 9110 section 9.2.1)


async def admit(app: App, endpoint: Endpoint, handshake: Handshake) -> Identity:
    """Who calls, if they may. Raises Denied, Problem, StoreError."""
    who = await identify(app, handshake)
    if who.how == "key":
        _check_scopes(endpoint, who)
        return who
    if not endpoint.users:
        raise Denied(KEY_REQUIRED, "a user's token does not open this")
    if not who.user:
        raise Denied(NOT_ALLOWED, "only users with a name have things of their own")
    headers = handshake.headers
    if endpoint.method not in SAFE:
        if _is_ambient(who, headers):
            check_csrf(app, who, headers)
        elif _may_be_ambient(who, headers):
            check_origin(app, headers)
    return who


async def identify(app: App, handshake: Handshake) -> Identity:
    """Who calls. Raises Denied, StoreError."""
    scheme, _, text = handshake.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip().startswith(KEY_PREFIX):
        return await _by_key(app, text.strip())
    if app.authenticator is None or not app.authenticator.asks:
        raise Denied(TOKEN_REQUIRED, "an API key is needed")
    try:
        found = app.authenticator.identify(handshake)
        return await found if isinstance(found, Coroutine) else found
    except ConnectError as error:
        raise Denied(NOT_ALLOWED, error.message) from None


async def _by_key(app: App, text: str) -> Identity:
    parts = split(text)
    if parts is None:
        raise Denied(KEY_INVALID, "the API key is not valid")
    if app.store is None:
        raise StoreError("there is no store")
    id, secret = parts
    row = await app.store.do(GetKey(id))
    if not fits(row, secret) or row is None:
        raise Denied(KEY_INVALID, "the API key is not valid")
    return Identity(how="key", key=id, scopes=frozenset(row.scopes))


def _check_scopes(endpoint: Endpoint, who: Identity) -> None:
    if not endpoint.scopes:
        raise Denied(USER_REQUIRED, "an API key is no user")
    if "*" not in who.scopes and who.scopes.isdisjoint(endpoint.scopes):
        needed = challenge("insufficient_scope", endpoint.scopes[0])
        why = f"the key needs the scope {' or '.join(endpoint.scopes)}"
        raise Problem(SCOPE_MISSING, why, needed)


def _is_ambient(who: Identity, headers: Mapping[str, str]) -> bool:
    """Whether the browser may have said by itself who calls, whatever page asked it to."""
    own = who.how == "custom" and "cookie" in headers and "authorization" not in headers
    return who.how == "cookie" or own


def _may_be_ambient(who: Identity, headers: Mapping[str, str]) -> bool:
    """Whether a function of the app's own may go by what a browser or a proxy adds by itself: a
    password that the browser remembers, a field from a proxy. A bearer token is a page's doing.
    """
    scheme = headers.get("authorization", "").partition(" ")[0].lower()
    return who.how == "custom" and scheme != "bearer"


def check_origin(app: App, headers: Mapping[str, str]) -> None:
    """Raises Denied for a page that is not ours. What is no browser says nothing of a page."""
    if app.authenticator is None or not app.authenticator.trusts(headers):
        raise Denied(CSRF_REQUIRED, "the page is not of an allowed origin")


def session_of(app: App, who: Identity, headers: Mapping[str, str]) -> str:
    """What a CSRF token is bound to: the token in the cookie, or with a function of the app's own
    that reads cookies of its own, the user.
    """
    if who.how == "cookie" and app.authenticator is not None:
        return read_cookie(headers.get("cookie", ""), app.authenticator.cookie)
    return f"user:{who.user}"


def check_csrf(app: App, who: Identity, headers: Mapping[str, str]) -> None:
    """Raises Denied."""
    check_origin(app, headers)
    session = session_of(app, who, headers)
    cookie = read_cookie(headers.get("cookie", ""), COOKIE)
    if not is_csrf(session, cookie, headers.get(HEADER, "")):
        raise Denied(CSRF_REQUIRED, "GET /v1/csrf gives the token for the header X-CSRF-Token")
