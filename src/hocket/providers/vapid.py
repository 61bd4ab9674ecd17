"""Who sends a Web Push: a key pair of the server, and tokens signed with it.

Source: RFC 8292. A token names the push service it is for and is used for many pushes (section
2.1); the browser was given the public key when it subscribed, so a changed key voids every
subscription.
"""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)

from hocket.errors import UsageError
from hocket.providers.encryption import point_of

LIFETIME: Final = 12 * 3_600.0  # seconds that a token is valid; services allow 24 hours
RENEW: Final = LIFETIME / 2  # seconds after which a new one is made
MAX_ORIGINS: Final = 1_000  # push services whose token is kept


def encode(data: bytes) -> str:
    """base64url without padding, as all of Web Push has it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Of base64url or base64, padded or not. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9_/+-]*={0,2}", text):
        raise ValueError("not base64url")
    text = text.rstrip("=").replace("+", "-").replace("/", "_")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_private_key() -> str:
    """A new key, as the setting `vapid_private_key` has it: 32 bytes, base64url."""
    number = generate_private_key(SECP256R1()).private_numbers().private_value
    return encode(number.to_bytes(32, "big"))


def read_private_key(text: str) -> EllipticCurvePrivateKey:
    """Raises UsageError."""
    try:
        data = decode(text.strip())
        if len(data) != 32:
            raise ValueError
        return derive_private_key(int.from_bytes(data, "big"), SECP256R1())
    except ValueError:
        raise UsageError(
            "HOCKET_VAPID_PRIVATE_KEY is not a key: make one with `hocket vapid`"
        ) from None


def public_key(private: str) -> str:
    """What a browser subscribes with (`applicationServerKey`). Raises UsageError."""
    return encode(point_of(read_private_key(private)))


def check_subject(subject: str) -> str:
    """Whom a push service can ask: `mailto:` or `https:`. Raises UsageError.

    Source: RFC 8292 section 2.1.
    """
    if not re.fullmatch(r"(mailto:[!-~]+@[!-~]+|https://[!-~]+)", subject):
        raise UsageError(
            "HOCKET_VAPID_SUBJECT is how a push service reaches you: mailto:you@example.com or "
            "https://example.com/contact"
        )
    return subject


class Vapid:
    """Makes the `Authorization` of pushes: one signature for each push service in six hours."""

    def __init__(self, private: str, subject: str, clock: Callable[[], float] = time.time) -> None:
        self._key = read_private_key(private)
        self._subject = check_subject(subject)
        self._clock = clock
        self._made: dict[str, tuple[float, str]] = {}  # origin: until when, header
        self.public_key = encode(point_of(self._key))

    def authorization(self, origin: str) -> str:
        """The header's value for a push service, named by its origin (`https://host[:port]`)."""
        now = self._clock()
        until, header = self._made.get(origin, (0.0, ""))
        if now >= until:
            header = self._signed(origin, now)
            if len(self._made) >= MAX_ORIGINS:  # endpoints are what users make of them
                self._made.clear()
            self._made[origin] = now + RENEW, header
        return header

    def _signed(self, origin: str, now: float) -> str:
        claims = {"aud": origin, "exp": int(now + LIFETIME), "sub": self._subject}
        return f"vapid t={jwt.encode(claims, self._key, 'ES256')}, k={self.public_key}"
