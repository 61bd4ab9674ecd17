"""Web Push: to browsers, through the push service of each.

Source: RFC 8030 (the request), 8291 (encryption.py), 8292 (vapid.py).
"""

from __future__ import annotations

import asyncio
import os
import re
from base64 import urlsafe_b64decode
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push
from hocket.providers.content import content, fit, short_key
from hocket.providers.encryption import MAX_MESSAGE, POINT, encrypt, read_point
from hocket.providers.guard import check_url, origin_of
from hocket.providers.origins import Origins
from hocket.providers.outbound import Answer, Client, UnreachableError, judge
from hocket.providers.vapid import Vapid, decode, encode
from hocket.settings import Settings

GONE: Final = frozenset((404, 410))  # RFC 8030 section 7.3, and what services do
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CURVE: Final = SECP256R1()


class Keys(msgspec.Struct, frozen=True):
    """The browser's public key and secret, base64url."""

    auth: str
    p256dh: str


class Subscription(msgspec.Struct, frozen=True):
    """What `PushManager.subscribe` gives; its `expirationTime` says nothing that 410 does not."""

    endpoint: str
    keys: Keys


_read: Final = msgspec.json.Decoder(Subscription).decode


class Target(msgspec.Struct, frozen=True):
    """A subscription, taken apart."""

    endpoint: str
    origin: str
    point: bytes
    auth: bytes


def target_of(token: str) -> Target:
    """Of a token as `check` spells it."""
    subscription = _read(token)
    endpoint, keys = subscription.endpoint, subscription.keys
    point, auth = urlsafe_b64decode(keys.p256dh + "="), urlsafe_b64decode(keys.auth + "==")
    return Target(endpoint, origin_of(endpoint), point, auth)


class WebPush:
    """The provider `webpush`. A device's token is its subscription, as JSON."""

    name = "webpush"
    limits = Limits(concurrency=100, timeout=30.0)

    def __init__(self, settings: Settings) -> None:
        self._allow_private = settings.allow_private_endpoints
        self._vapid = Vapid(settings.vapid_private_key, settings.vapid_subject)
        self._client = Client(self.limits.concurrency, public_only=not self._allow_private)
        self._origins = Origins()
        self.public_key = self._vapid.public_key

    def check(self, token: str) -> str:
        try:
            subscription = msgspec.json.decode(token, type=Subscription)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ValueError(f"not a browser's subscription object: {error}") from None
        endpoint = check_url(subscription.endpoint, self._allow_private)
        keys = {"auth": _secret(subscription.keys.auth), "p256dh": _point(subscription.keys.p256dh)}
        return msgspec.json.encode({"endpoint": endpoint, "keys": keys}).decode()

    async def send(self, push: Push) -> Outcome:
        target = target_of(push.token)
        if pause := self._origins.pause_of(target.origin):
            return pause
        try:
            body = encrypted(push, target)
        except ValueError as error:
            return Failed(str(error))
        # HOT: 3,600 to 4,100 pushes a second (benchmark `webpush`). All that is encrypted in a turn
        # is encrypted in a row, with OpenSSL's tables in the cache, and sent in the next turn.
        await asyncio.sleep(0)
        try:
            answer = await self._client.post(target.endpoint, self._headers(push, target), body)
        except UnreachableError as error:
            self._origins.silent(target.origin)
            return error.outcome
        except asyncio.CancelledError:  # its time is over
            self._origins.silent(target.origin)
            raise
        return self._outcome(answer, target.origin)

    def _headers(self, push: Push, target: Target) -> dict[str, str]:
        return {
            "Authorization": self._vapid.authorization(target.origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(push.ttl),
            "Urgency": push.urgency,
            "Topic": topic(push.collapse_key),
        }

    def _outcome(self, answer: Answer, origin: str) -> Outcome:
        outcome = outcome_of(answer)
        if answer.status == 429:
            self._origins.busy(origin, answer.retry_after)
        else:
            self._origins.answered(origin)
        return outcome

    async def close(self) -> None:
        await self._client.close()


def encrypted(push: Push, target: Target) -> bytes:
    """A push as one browser can read it. Raises ValueError: its data is too long."""

    def make(title: str, body: str) -> dict[str, Any]:
        return content(push, title, body)

    message = fit(make, push.title, push.body, MAX_MESSAGE)
    key = generate_private_key(_CURVE)
    return encrypt(message, target.point, target.auth, key, os.urandom(16))


def topic(collapse_key: str) -> str:
    """The `Topic` of a collapse key: at most 32 characters of base64url (RFC 8030 section 5.4)."""
    return short_key(collapse_key, bool(_TOPIC.fullmatch(collapse_key)), 32)


def outcome_of(answer: Answer) -> Outcome:
    """What a push service's answer means: RFC 8030 section 5, RFC 8292 section 4.2."""
    if 200 <= answer.status < 300:
        return Delivered(answer.headers.get("Location", ""))
    if answer.status in GONE:
        return Dead(f"HTTP {answer.status} the subscription has ended")
    if answer.status in (401, 403):
        return judge(answer, f"the push service refuses our VAPID key: {answer.text}")
    if answer.status == 413:
        return judge(answer, "too long for this push service")
    return judge(answer)


def _point(text: str) -> str:
    data = decode(text)
    if len(data) != POINT:
        raise ValueError(f"keys.p256dh has {len(data)} bytes, and {POINT} are needed")
    try:
        read_point(data)
    except ValueError:
        raise ValueError("keys.p256dh is not a point of P-256") from None
    return encode(data)


def _secret(text: str) -> str:
    data = decode(text)
    if len(data) != 16:
        raise ValueError(f"keys.auth has {len(data)} bytes, and 16 are needed")
    return encode(data)
