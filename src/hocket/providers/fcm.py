"""Firebase Cloud Messaging: to Android, and to whatever else a Firebase project reaches.

Source: the HTTP v1 API, its `ErrorCode` and "Manage FCM registration tokens" pages. One request is
one message: there are no batches.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push, Retry
from hocket.providers.content import apns_headers, fit
from hocket.providers.google import AccessToken, NoTokenError, read_account
from hocket.providers.outbound import Answer, Client, UnreachableError, judge
from hocket.settings import Settings

MAX_PAYLOAD: Final = 4_096  # bytes of a message; we count the JSON around it as well
QUOTA_WAIT: Final = 60.0  # seconds: quotas are per minute, and less is asking for more trouble
TOKEN_WAIT: Final = 10.0  # seconds until an access token is asked for again
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
_RESERVED: Final = re.compile(r"from$|message_type$|gcm|google")
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


class Fcm:
    """The provider `fcm`. A device's token is its registration token."""

    name = "fcm"
    limits = Limits(concurrency=100, timeout=30.0)

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        account = read_account(settings.fcm_credentials)
        project = account.project_id
        self._url = f"{settings.fcm_url}/v1/projects/{project}/messages:send"
        # One connection more than pushes: the token's request never waits for one of theirs.
        self._client = Client(self.limits.concurrency + 1, public_only=False)
        self._access = AccessToken(account, self._client)

    def check(self, token: str) -> str:
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError("not a registration token of FCM")
        return token

    async def send(self, push: Push) -> Outcome:
        try:
            body = body_of(push, self._clock())
        except ValueError as error:
            return Failed(str(error))
        for last in (False, True):
            try:
                access = await self._access.get()
                answer = await self._post(access, body)
            except NoTokenError as error:
                return Retry(str(error), error.after or TOKEN_WAIT, pause=True)
            except UnreachableError as error:
                return error.outcome
            code, _ = error_of(answer)
            if answer.status != 401 or code == "THIRD_PARTY_AUTH_ERROR" or last:
                break
            self._access.forget(access)  # revoked, or our clock is wrong: once more with a new one
        return outcome_of(answer)

    async def _post(self, access: str, body: bytes) -> Answer:
        headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
        return await self._client.post(self._url, headers, body)

    async def close(self) -> None:
        await self._client.close()


def body_of(push: Push, now: float) -> bytes:
    """The request's JSON. `now`: seconds since 1970.

    Raises: ValueError: its data is too long, or has a name that FCM keeps.
    """
    data = {name: _text(value) for name, value in push.data.items()}
    if refused := [name for name in data if _RESERVED.match(name)]:
        raise ValueError(f"data: FCM keeps the name {refused[0]!r} for itself")
    ours = {"id": push.notification, "url": push.url, "icon": push.icon}
    data = {**{name: value for name, value in ours.items() if value}, **data}

    def make(title: str, body: str) -> dict[str, Any]:
        return {"message": _message(push, {"title": title, "body": body}, data, now)}

    return fit(make, push.title, push.body, MAX_PAYLOAD + len(push.token))


def _message(push: Push, told: dict[str, str], data: dict[str, str], now: float) -> dict[str, Any]:
    """`collapse_key` is ignored for messages that FCM shows by itself: on the device the tag
    replaces.
    """
    high = push.urgency == "high"
    return {
        "token": push.token,
        "notification": told,
        "data": data,
        "android": {
            "priority": "HIGH" if high else "NORMAL",
            "ttl": f"{push.ttl}s",
            "notification": {"tag": push.collapse_key},
        },
        "apns": {"headers": apns_headers(push, now)},
        "webpush": {"headers": {"TTL": str(push.ttl), "Urgency": push.urgency}},
    }


def _text(value: Any) -> str:
    """FCM's data are texts; everything else goes as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def error_of(answer: Answer) -> tuple[str, bool]:
    """FCM's error code in an answer ("" for none), and whether it is about the request's fields."""
    try:
        details = msgspec.json.decode(answer.body)["error"]["details"]
        kinds = {detail.get("@type"): detail for detail in details}
        code = kinds.get(_FCM_ERROR, {}).get("errorCode", "")
        return (code if isinstance(code, str) else ""), _BAD_REQUEST in kinds
    except (msgspec.DecodeError, UnicodeError, LookupError, TypeError, AttributeError):
        return "", False


def _dead(answer: Answer, says: str) -> Outcome:
    return Dead(f"HTTP {answer.status} {says}")


def _quota(answer: Answer, says: str) -> Outcome:
    return Retry(f"HTTP {answer.status} {says}", answer.retry_after or QUOTA_WAIT, pause=True)


def _refused(answer: Answer, says: str) -> Outcome:
    return Failed(f"HTTP {answer.status} {says}")


# What is special, by status and error code; `judge` knows the rest.
SPECIAL: Final[dict[tuple[int, str], Callable[[Answer, str], Outcome]]] = {
    (404, "UNREGISTERED"): _dead,
    (400, "INVALID_ARGUMENT"): _dead,
    (403, "SENDER_ID_MISMATCH"): _refused,
    (401, "THIRD_PARTY_AUTH_ERROR"): _refused,
    (429, "QUOTA_EXCEEDED"): _quota,
    (429, ""): _quota,
}


def outcome_of(answer: Answer) -> Outcome:
    """What FCM's answer means. A 400 is the token's fault only where no field is named, and a 404
    only where it says UNREGISTERED: a wrong project must not prune devices.
    """
    if answer.status == 200:
        return Delivered(_name(answer.body))
    code, fields = error_of(answer)
    special = None if fields else SPECIAL.get((answer.status, code))
    if special is not None:
        return special(answer, code)
    if answer.status == 401:
        return Retry("HTTP 401 FCM refuses our access token", TOKEN_WAIT, pause=True)
    return judge(answer, code)


def _name(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["name"])
    except (msgspec.DecodeError, UnicodeError, LookupError, TypeError):
        return ""
