"""Tokens: signed statements of who somebody is (JSON Web Tokens, RFC 7519), with HS256, RS256 or
ES256 (RFC 7518 section 3.1).

A key has one algorithm, and which key counts is never up to the token: a token that names another
algorithm than its key's is refused (RFC 8725 section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import jwt
import msgspec

from hocket.errors import (
    KEYS_UNAVAILABLE,
    TOKEN_AUDIENCE,
    TOKEN_CLAIMS,
    TOKEN_EARLY,
    TOKEN_EXPIRED,
    TOKEN_ISSUER,
    TOKEN_REQUIRED,
    Denied,
    UsageError,
)
from hocket.identity.model import Identity, is_name

MIN_SECRET: Final = 32  # bytes, as RFC 7518 section 3.2 asks of a key for HS256
MAX_TOKEN: Final = 8_192  # bytes: half of the largest request head
SKEW: Final = 5.0  # seconds that the clock of who signs may be ahead of ours; `exp` is exact
_LATEST: Final = 32_503_680_000  # the year 3000: what lies behind it is no time

Key = Any  # what PyJWT takes: bytes, or a public key of `cryptography`


class KeySource(Protocol):
    """Public keys that may change while the server runs."""

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key of this id that is for this algorithm, of those that are known now."""

    async def renew(self) -> bool:
        """Look again, unless that was done a moment ago; whether there are keys at all."""


class Rules(msgspec.Struct, frozen=True):
    """What a token must say. Empty: no audience may stand in it, any issuer may."""

    audience: str = ""
    issuer: str = ""


def check_secret(secret: str) -> None:
    """Raises UsageError for a secret that can be guessed."""
    if len(secret.encode()) < MIN_SECRET:
        raise UsageError(
            f"HOCKET_SECRET needs {MIN_SECRET} bytes or more, such as `openssl rand -hex 32` gives"
        )


def make_token(
    secret: str,
    user: str,
    now: float,
    lifetime: float,
    rules: Rules = Rules(),  # noqa: B008 - frozen
) -> str:
    """A token that says its bearer is `user`, for `lifetime` seconds from `now` (seconds since
    1970).
    """
    claims: dict[str, Any] = {"sub": user, "iat": int(now), "exp": int(now + lifetime)}
    if rules.audience:
        claims["aud"] = rules.audience
    if rules.issuer:
        claims["iss"] = rules.issuer
    return jwt.encode(claims, secret, algorithm="HS256")


class Tokens:
    """Reads tokens.

    Args:
        keys: by algorithm: the one key that counts for it.
        source: further keys for RS256 and ES256, by the id that a token names.
        rules: what a token must say.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        keys: dict[str, Key],
        source: KeySource | None,
        rules: Rules,
        wall_clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._source = source
        self._rules = rules
        self._now = wall_clock

    def read(self, token: str) -> Identity | Coroutine[Any, Any, Identity]:
        """Who its bearer is; to be awaited when its key must be fetched first.

        Raises: Denied.
        """
        algorithm, kid = _header(token)
        if (key := self._keys.get(algorithm)) is not None:
            return self._check(token, algorithm, key)
        if self._source is None or algorithm not in ("RS256", "ES256"):
            raise _not_ours()
        if (key := self._source.find(algorithm, kid)) is not None:
            return self._check(token, algorithm, key)
        return self._read_later(self._source, token, algorithm, kid)

    async def _read_later(
        self, source: KeySource, token: str, algorithm: str, kid: str | None
    ) -> Identity:
        if not await source.renew():
            raise Denied(KEYS_UNAVAILABLE, "the keys that sign tokens cannot be read now")
        if (key := source.find(algorithm, kid)) is None:
            raise _not_ours()
        return self._check(token, algorithm, key)

    def _check(self, token: str, algorithm: str, key: Key) -> Identity:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._rules.audience or None,
                issuer=self._rules.issuer or None,
                options=_OPTIONS,
            )
        except jwt.InvalidAudienceError:
            raise Denied(TOKEN_AUDIENCE, "the token is for another server") from None
        except jwt.InvalidIssuerError:
            raise Denied(TOKEN_ISSUER, "the token is from another login") from None
        except jwt.MissingRequiredClaimError as error:
            code = _MISSING.get(error.claim, TOKEN_CLAIMS)
            raise Denied(code, f"the token has no {error.claim}") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _not_ours() from None
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        user, now = claims["sub"], self._now()
        if not isinstance(user, str) or not is_name(user):
            raise Denied(TOKEN_CLAIMS, "the token's sub is no user's name")
        expires, begins = _time(claims["exp"]), _time(claims.get("nbf", 0))
        if now >= expires:
            raise Denied(TOKEN_EXPIRED, "the token has expired")
        if now + SKEW < begins:
            raise Denied(TOKEN_EARLY, "the token is not valid yet")
        return Identity(user=user, expires=expires, how="token", claims=claims)


# The times are read here, with our clock. The audience counts in any case (RFC 7519 section 4.1.3).
_OPTIONS: Final[Any] = {
    "require": ["sub", "exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
}
_MISSING: Final = {"aud": TOKEN_AUDIENCE, "iss": TOKEN_ISSUER}


def _header(token: str) -> tuple[str, str | None]:
    """The algorithm and the key's id that a token names."""
    if not token.isascii() or len(token) > MAX_TOKEN:
        raise _not_ours()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _not_ours() from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise _not_ours()
    return algorithm, kid if isinstance(kid, str) else None


def _time(value: Any) -> float:
    """A NumericDate (RFC 7519 section 2)."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LATEST:  # NaN is in no range
        raise Denied(TOKEN_CLAIMS, "the token has a time that is none")
    return float(value)


def _not_ours() -> Denied:
    """Nothing more is said of a token that no key of ours has signed."""
    return Denied(TOKEN_REQUIRED, "the token is not valid")
