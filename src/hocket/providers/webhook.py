"""Webhooks: a POST to a server of the user's, signed.

Source: Standard Webhooks 1.0 (headers `webhook-id`, `webhook-timestamp`, `webhook-signature`;
HMAC-SHA256 over the three). `webhook-id` is the same whenever a push is repeated, so a receiver
recognises repeats by it.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import digest
from typing import Any, Final

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push
from hocket.providers.content import content, fit
from hocket.providers.guard import check_url, origin_of
from hocket.providers.origins import Origins
from hocket.providers.outbound import Answer, Client, UnreachableError, judge
from hocket.settings import Settings

MAX_BODY: Final = 20_000  # bytes; the standard advises to stay under 20 kB
MIN_KEY, MAX_KEY = 24, 64  # bytes of a secret, by the standard
PREFIX: Final = "whsec_"


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The keys in the setting `webhook_secret`: one, or several separated by spaces while the old
    one is still in use. Raises UsageError.
    """
    keys = []
    for each in text.split():
        try:
            key = b64decode(each.removeprefix(PREFIX), validate=True)
        except ValueError:
            key = b""
        if not (each.startswith(PREFIX) and MIN_KEY <= len(key) <= MAX_KEY):
            raise UsageError(
                f"HOCKET_WEBHOOK_SECRET is {PREFIX} and {MIN_KEY} to {MAX_KEY} bytes in base64, "
                f'such as `echo "{PREFIX}$(openssl rand -base64 32)"` gives'
            )
        keys.append(key)
    return tuple(keys)


def sign(keys: tuple[bytes, ...], id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{b64encode(digest(key, signed, sha256)).decode()}" for key in keys)


class Webhook:
    """The provider `webhook`. A device's token is its URL."""

    name = "webhook"
    limits = Limits(concurrency=100, timeout=15.0)

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._allow_private = settings.allow_private_endpoints
        self._keys = read_secrets(settings.webhook_secret)
        self._clock = clock
        self._origins = Origins()
        self._client = Client(self.limits.concurrency, public_only=not self._allow_private)

    def check(self, token: str) -> str:
        return check_url(token, self._allow_private)

    async def send(self, push: Push) -> Outcome:
        origin = origin_of(push.token)
        if pause := self._origins.pause_of(origin):
            return pause
        try:
            body = body_of(push)
        except ValueError as error:
            return Failed(str(error))
        try:
            answer = await self._client.post(push.token, self._headers(push, body), body)
        except UnreachableError as error:
            self._origins.silent(origin)
            return error.outcome
        except asyncio.CancelledError:  # its time is over
            self._origins.silent(origin)
            raise
        if answer.status == 429:
            self._origins.busy(origin, answer.retry_after)
        else:
            self._origins.answered(origin)
        return outcome_of(answer)

    def _headers(self, push: Push, body: bytes) -> dict[str, str]:
        now = int(self._clock())
        id = message_id(push)
        return {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._keys, id, now, body),
        }

    async def close(self) -> None:
        await self._client.close()


def message_id(push: Push) -> str:
    """Of a notification to one receiver; always the same for the two."""
    return (
        f"msg_{sha256(f'{push.notification} {push.user} {push.token}'.encode()).hexdigest()[:32]}"
    )


def body_of(push: Push) -> bytes:
    """The JSON that is posted. Raises ValueError: its data is too long."""

    def make(title: str, body: str) -> dict[str, Any]:
        told = content(push, title, body)
        return {"type": "notification", "user": push.user, "data": told}

    return fit(make, push.title, push.body, MAX_BODY)


def outcome_of(answer: Answer) -> Outcome:
    """What a receiver's answer means: the standard's table of status codes."""
    if 200 <= answer.status < 300:
        return Delivered()
    if answer.status == 410:
        return Dead("HTTP 410 the receiver wants no more")
    return judge(answer)
