"""The one place that decides who somebody is, for WebSocket, polling, SSE and REST."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hocket.errors import NOT_ALLOWED, USER_REQUIRED, ConnectError, Denied, UsageError
from hocket.hub.handshake import Handshake
from hocket.identity.credentials import KEY_PREFIX, shown
from hocket.identity.model import MAX_USER, Identity, is_name
from hocket.identity.tokens import KeySource, Rules, Tokens, check_secret
from hocket.settings import Settings

Hook = Callable[[Handshake], Any]
Found = Identity | Coroutine[Any, Any, Identity]


class Authenticator:
    """Asks `@app.authenticate`, and reads tokens where that has no answer.

    Args:
        tokens: reads them; None: no key is set, so there are none.
        hook: the app's own function (handshake).
        trusts: whether the page that sent these headers may use its user's cookies.
        cookie: the name of the cookie with the token.
    """

    def __init__(
        self,
        tokens: Tokens | None,
        hook: Hook | None,
        trusts: Callable[[Mapping[str, str]], bool],
        cookie: str,
    ) -> None:
        self._tokens = tokens
        self._hook = hook
        self.trusts = trusts
        self.cookie = cookie

    @property
    def asks(self) -> bool:
        """Whether sockets are asked who they are. Without a key and a function nobody is."""
        return self._tokens is not None or self._hook is not None

    def identify(self, handshake: Handshake) -> Found:
        """Who came with this; to be awaited where somebody has to be asked.

        Raises: Denied.
        """
        if self._hook is None:
            return self._read_token(handshake)
        answer = self._hook(handshake)
        if inspect.isawaitable(answer):
            return self._identify_later(handshake, answer)
        identity = _as_identity(answer)
        return self._read_token(handshake) if identity is None else identity

    async def _identify_later(self, handshake: Handshake, answer: Awaitable[Any]) -> Identity:
        identity = _as_identity(await answer)
        if identity is not None:
            return identity
        found = self._read_token(handshake)
        return await found if isinstance(found, Coroutine) else found

    def _read_token(self, handshake: Handshake) -> Found:
        if self._tokens is None:
            raise Denied(NOT_ALLOWED, "you may not come in")
        headers = handshake.headers
        token, by_cookie = shown(headers, handshake.auth, self.cookie, self.trusts(headers))
        if token.startswith(KEY_PREFIX):
            raise Denied(USER_REQUIRED, "an API key is no user")
        found = self._tokens.read(token)
        if not by_cookie:
            return found
        return _by_cookie_later(found) if isinstance(found, Coroutine) else _by_cookie(found)


def _by_cookie(identity: Identity) -> Identity:
    return msgspec.structs.replace(identity, how="cookie")


async def _by_cookie_later(found: Coroutine[Any, Any, Identity]) -> Identity:
    return _by_cookie(await found)


def _as_identity(answer: Any) -> Identity | None:
    """What `@app.authenticate` returned. None: a token is to say it."""
    if isinstance(answer, str):
        answer = Identity(user=answer)
    if answer is None or isinstance(answer, Identity):
        if answer is not None and answer.user and not is_name(answer.user):
            raise Denied(NOT_ALLOWED, f"a user's name is text of at most {MAX_USER} characters")
        return answer
    raise TypeError(
        f"@app.authenticate returned {type(answer).__name__}: a user's name, an Identity or None"
    )


def as_refusal(denied: Denied) -> ConnectError:
    """What a Socket.IO client is told."""
    return ConnectError(denied.message, {"code": denied.code})


def make_tokens(
    settings: Settings,
    source: Callable[[str], KeySource],
    wall_clock: Callable[[], float] = time.time,
) -> Tokens | None:
    """The reader of tokens that the settings describe; None: no key is set.

    Args:
        source: makes the source of the keys at an URL or in a file.

    Raises: UsageError.
    """
    keys: dict[str, Any] = {}
    if settings.secret:
        check_secret(settings.secret)
        keys["HS256"] = settings.secret.encode()
    if settings.token_public_key and settings.token_jwks:
        raise UsageError("token_public_key and token_jwks are two ways to say one thing: set one")
    if settings.token_public_key:
        from hocket.identity.keyset import read_pem  # lazy: for those who have such a key

        try:
            keys.update(read_pem(Path(settings.token_public_key).read_bytes()))
        except OSError as error:
            raise UsageError(f"token_public_key: {error}") from None
    rules = Rules(settings.token_audience, settings.token_issuer)
    if settings.token_jwks:
        return Tokens(keys, source(settings.token_jwks), rules, wall_clock)
    return Tokens(keys, None, rules, wall_clock) if keys else None


def make_source(where: str) -> KeySource:
    """The keys at an URL or in a file. Raises UsageError."""
    from hocket.identity.fetch import fetcher  # lazy: for those who have a key set
    from hocket.identity.keyset import KeySet  # lazy: as above

    return KeySet(fetcher(where), time.monotonic)
