"""Accepting notifications: the one way in, for `app.notify`, REST and the command line."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from hocket.errors import HocketError
from hocket.notify.model import Audience, Notification
from hocket.store.base import Accept, Accepted, AudienceRow, Store

MAX_CONTENT: Final = 65_536  # bytes of a notification as JSON
MAX_DEPTH: Final = 16  # of what stands in `data` and `variables`
MAX_USERS: Final = 100_000  # that one audience names
MAX_TOPICS: Final = 100
MAX_AHEAD: Final = 366 * 86_400.0  # seconds that `send_at` may lie ahead
LEAST: Final = 30.0  # seconds that the first try has, however short the ttl is

T = TypeVar("T")


class BadNotification(HocketError):
    """What cannot be accepted; the message says why."""


def new_id() -> str:
    """An unguessable id (str)."""
    return secrets.token_hex(16)


class Notifications:
    """Accepts notifications into a store.

    Args:
        store: where they are kept.
        wall_clock: seconds since 1970.
        fill_in: see Templates.fill_in.
    """

    def __init__(
        self,
        store: Store,
        wall_clock: Callable[[], float] = time.time,
        fill_in: Callable[[Notification], Notification] = lambda notification: notification,
    ) -> None:
        self._store = store
        self._now = wall_clock
        self._fill_in = fill_in
        self.accepted = 0  # since the process began

    async def accept(
        self,
        audience: Audience,
        notification: Notification,
        *,
        caller: str,
        key: str = "",
        digest: bytes = b"",
    ) -> Accepted:
        """Store a notification with its audience; when this returns it is on disk.

        Args:
            caller, key, digest: see Accept. An empty digest is made of what is given here.

        Raises: BadNotification, Conflict, StoreError.
        """
        now = self._now()
        audience, notification = checked(audience, Audience), checked(notification, Notification)
        if key and not digest:
            digest = hashlib.sha256(msgspec.json.encode((audience, notification))).digest()
        if notification.template:
            notification = self._filled_in(notification)
        content = check(audience, notification, now)
        id = new_id()
        accepted = await self._store.do(
            Accept(
                id=id,
                caller=caller,
                key=key,
                digest=digest,
                audience=AudienceRow(audience.all_users, audience.user_ids, audience.topics),
                content=content,
                at=now,
                send_at=notification.send_at,
                expires_at=_begins(notification, now) + max(notification.ttl, LEAST),
                collapse_key=notification.collapse_key or id,
            )
        )
        self.accepted += not accepted.replayed
        return accepted

    def _filled_in(self, notification: Notification) -> Notification:
        try:
            return self._fill_in(notification)
        except HocketError as error:
            raise BadNotification(str(error)) from None


def _begins(notification: Notification, now: float) -> float:
    """When its ttl does: when it is released, or a digest's window ends."""
    window = notification.digest.window if notification.digest is not None else 0
    return max(now, notification.send_at) + window


def checked(value: T, kind: type[T]) -> T:
    """The same, if it is what its type says: Python itself does not look. Raises
    BadNotification.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise BadNotification(f"{kind.__name__}: {error}") from None


def check(audience: Audience, notification: Notification, now: float) -> bytes:
    """The notification as JSON. Raises BadNotification."""
    if not (audience.all_users or audience.user_ids or audience.topics):
        raise BadNotification("the audience is empty: all, users or a topic")
    if len(audience.user_ids) > MAX_USERS or len(audience.topics) > MAX_TOPICS:
        raise BadNotification(f"an audience names at most {MAX_USERS} users, {MAX_TOPICS} topics")
    if not (notification.title or notification.body or notification.template):
        raise BadNotification("a notification has a title, a body or a template")
    if notification.send_at > now + MAX_AHEAD:
        raise BadNotification("send_at is more than a year ahead")
    if any(depth > MAX_DEPTH for depth in _depths([notification.data, notification.variables])):
        raise BadNotification(f"data is nested more than {MAX_DEPTH} deep")
    content = msgspec.json.encode(notification)
    if len(content) > MAX_CONTENT:
        raise BadNotification(f"the notification is over {MAX_CONTENT} bytes")
    return content


def _depths(value: Any) -> Iterator[int]:
    """How deep each of the values inside lies."""
    waiting = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield depth
        if depth <= MAX_DEPTH:
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(each, depth + 1) for each in inner if isinstance(each, dict | list)]
