"""Apple's push service: to iPhones, iPads and Macs.

Source: Apple's "Sending notification requests to APNs", "Handling notification responses from APNs"
and "Establishing a token-based connection to APNs".
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push, Retry
from hocket.providers.content import apns_headers, content, fit
from hocket.providers.http2 import Headers, LostError, Response, UnsentError
from hocket.providers.outbound import retry_after
from hocket.providers.pool import Pool
from hocket.settings import Settings

MAX_PAYLOAD: Final = 4_096  # bytes
YOUNGEST: Final = 20 * 60.0  # seconds of a token's life in which another one is one too many
OLDEST: Final = 45 * 60.0  # seconds after which it is renewed; Apple refuses it after an hour
CONFIG_WAIT: Final = 60.0  # seconds until credentials that were refused are tried again
_TOKEN: Final = re.compile(r"([0-9a-f]{2}){16,100}")

DEAD: Final = frozenset(("Unregistered", "ExpiredToken"))
REFUSED: Final = frozenset(  # by what is ours, not the device's
    (
        "ExpiredProviderToken",
        "InvalidProviderToken",
        "MissingProviderToken",
        "BadCertificate",
        "BadCertificateEnvironment",
        "Forbidden",
        "TooManyProviderTokenUpdates",
    )
)


def read_key(path: str) -> EllipticCurvePrivateKey:
    """The key in a .p8 file. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            key = load_pem_private_key(file.read(100_000), None)
        if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("it is no key of P-256")
    except OSError as error:
        raise UsageError(f"HOCKET_APNS_KEY: {error}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"HOCKET_APNS_KEY: {path} is not a .p8 key: {error}") from None
    return key


class ProviderToken:
    """Who sends: a JWT that Apple wants used for 20 minutes at least and an hour at most."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._key = read_key(settings.apns_key)
        self._headers = {"kid": settings.apns_key_id}
        self._team = settings.apns_team
        self._clock = clock
        self._made = 0.0
        self._token = ""

    def get(self) -> str:
        if not self._token or self._clock() - self._made >= OLDEST:
            self._make()
        return self._token

    def renew(self, refused: str) -> bool:
        """This one was refused: whether there is another one to try. Not within 20 minutes."""
        if refused == self._token and self._clock() - self._made >= YOUNGEST:
            self._make()
        return refused != self._token

    def _make(self) -> None:
        self._made = self._clock()
        claims = {"iss": self._team, "iat": int(self._made)}
        self._token = jwt.encode(claims, self._key, "ES256", self._headers)


class Apns:
    """The provider `apns`. A device's token is its device token, in hexadecimal."""

    name = "apns"
    limits = Limits(concurrency=500, timeout=30.0)

    def __init__(
        self,
        settings: Settings,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token = ProviderToken(settings, clock)
        self._clock = clock
        self._topic = settings.apns_topic
        self._size = settings.apns_connections
        parts = urlsplit(settings.apns_url)
        self._scheme, self._authority = parts.scheme, parts.netloc
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._context = context
        self._pool: Pool | None = None

    def check(self, token: str) -> str:
        token = token.strip().lower()
        if not _TOKEN.fullmatch(token):
            raise ValueError("not a device token of Apple: it is hexadecimal")
        return token

    async def send(self, push: Push) -> Outcome:
        try:
            body = payload_of(push)
        except ValueError as error:
            return Failed(str(error))
        try:
            async with asyncio.timeout(self.limits.timeout):
                return await self._send(push, body)
        except TimeoutError:
            return Retry(f"no answer within {self.limits.timeout:g} s")
        except (LostError, UnsentError) as error:
            return Retry(str(error))
        except OSError as error:
            return Retry(f"cannot connect: {error}")

    async def _send(self, push: Push, body: bytes) -> Outcome:
        token = self._token.get()
        answer = await self._request(push, token, body)
        if answer.status == 403 and self._token.renew(token):
            answer = await self._request(push, self._token.get(), body)
        return outcome_of(answer, self._clock())

    async def _request(self, push: Push, token: str, body: bytes) -> Response:
        if self._pool is None:
            self._pool = Pool(self._host, self._port, self._tls(), self._size)
        return await self._pool.request(self._headers(push, token, body), body)

    def _tls(self) -> ssl.SSLContext | None:
        if self._scheme != "https":
            return None
        context = self._context or ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        return context

    def _headers(self, push: Push, token: str, body: bytes) -> Headers:
        return (
            (":method", "POST"),
            (":scheme", self._scheme),
            (":authority", self._authority),
            (":path", f"/3/device/{push.token}"),
            ("authorization", f"bearer {token}"),
            ("apns-topic", self._topic),
            ("apns-push-type", "alert"),
            *apns_headers(push, self._clock()).items(),
            ("apns-id", str(uuid.uuid5(uuid.NAMESPACE_OID, f"{push.notification} {push.token}"))),
            ("content-length", str(len(body))),
        )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


def payload_of(push: Push) -> bytes:
    """The JSON of a push. Raises ValueError: its data is too long."""

    def make(title: str, body: str) -> dict[str, Any]:
        told = content(push, title, body)
        alert = {name: told.pop(name) for name in ("title", "body") if name in told}
        del told["tag"]  # apns-collapse-id
        return {"aps": {"alert": alert, "sound": "default"}, **told}

    return fit(make, push.title, push.body, MAX_PAYLOAD)


def outcome_of(answer: Response, now: float) -> Outcome:
    """What Apple's answer means. BadDeviceToken and DeviceTokenNotForTopic keep the device: a wrong
    `apns_url` or `apns_topic` gives them for every device there is.
    """
    if answer.status == 200:
        return Delivered(answer.headers.get("apns-id", ""))
    reason, since = reason_of(answer)
    error = f"HTTP {answer.status} {reason}".rstrip()
    after = retry_after(answer.headers.get("retry-after", ""), now)
    if answer.status == 410 and reason in DEAD:
        return Dead(error, since)
    if answer.status == 403 or reason in REFUSED:
        return Retry(error, after or CONFIG_WAIT, pause=True)
    if answer.status == 429 or answer.status >= 500 or reason == "IdleTimeout":
        return Retry(error, after)
    return Failed(error)


def reason_of(answer: Response) -> tuple[str, float]:
    """The reason in an answer, and since when (seconds since 1970; 0: it does not say)."""
    try:
        told = msgspec.json.decode(answer.body)
        since = told.get("timestamp", 0)
        reason = told["reason"]
    except (msgspec.DecodeError, UnicodeError, LookupError, TypeError, AttributeError):
        return "", 0.0
    valid = isinstance(since, int | float) and 0 <= since < 1e14
    return str(reason)[:100], since / 1000 if valid else 0.0
