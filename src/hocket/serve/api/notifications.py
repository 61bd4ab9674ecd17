"""Notifications: send them, see how they went, stop them."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final

import msgspec

from hocket.notify.model import Audience, Notification
from hocket.notify.service import MAX_TOPICS, MAX_USERS
from hocket.serve.api.endpoint import PAGE, Call, Limit, Name, Reply, endpoint
from hocket.serve.api.problems import Problem
from hocket.store.base import (
    CancelNotification,
    Deliveries,
    DeliveryRow,
    GetNotification,
    NotificationRow,
    State,
    StoreError,
)

MAX_BODY: Final = 16_777_216  # bytes: room for as many named users as an audience may have
SEE: Final = ("read", "notify")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")  # visible ASCII

Names = Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_USERS)]
Topics = Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_TOPICS)]


class To(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it is for: everybody (`all`), named `users`, whoever is in a `topic` or in one of
    several `topics`; or all of these together.
    """

    all: bool = False
    users: Names | None = None
    topic: Name | None = None
    topics: Topics | None = None


class NewNotification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audience: To
    notification: Notification


class NotificationId(msgspec.Struct, frozen=True):
    id: str


class Counts(msgspec.Struct, frozen=True):
    """Deliveries to devices. `suppressed`: the user's preferences said no."""

    delivered: int
    failed: int
    expired: int
    pending: int
    cancelled: int
    suppressed: int


class Status(msgspec.Struct, frozen=True):
    """How a notification stands. `accepted`, `send_at`: seconds since 1970 (0: at once)."""

    id: str
    state: State
    recipients: int
    deliveries: Counts
    accepted: float
    send_at: float


class Delivery(msgspec.Struct, frozen=True):
    """One device's. `state`: queued, leased, retry, delivered, failed, dead, expired, cancelled or
    suppressed.
    """

    id: int
    recipient: str
    device: str
    provider: str
    state: str
    attempts: int
    last_error: str


class DeliveryPage(msgspec.Struct, frozen=True):
    """`next`: what to give as `after` for the next page; null: this is the last."""

    items: list[Delivery]
    next: int | None


class WhichDeliveries(msgspec.Struct, frozen=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    limit: Limit = PAGE


@endpoint(
    "POST",
    "/v1/notifications",
    scopes=("notify",),
    body=NewNotification,
    answers={202: NotificationId},
    problems=("still-running", "key-reused"),
    headers={"Idempotency-Key": "within a day, the same request with the same key is done once"},
    limit=MAX_BODY,
)
async def send(call: Call) -> Reply:
    """Send a notification. The answer means that it is on disk and who gets it is decided."""
    new: NewNotification = call.body
    key = call.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):  # an empty one is a caller's mistake too
        raise Problem("invalid", "an Idempotency-Key is 1-200 visible ASCII characters")
    digest = hashlib.sha256(msgspec.json.encode(new, order="sorted")).digest()
    if call.app.notifier is None:
        raise StoreError("there is no store: start with --data DIR")
    accepted = await call.app.notifier.notifications.accept(
        _audience(new.audience),
        new.notification,
        caller=f"key:{call.who.key}",
        key=key or "",
        digest=digest,
    )
    return Reply(202, NotificationId(accepted.id), _replayed(accepted.replayed))


def _audience(to: To) -> Audience:
    topics = [*([to.topic] if to.topic is not None else ()), *(to.topics or ())]
    return Audience(all_users=to.all, user_ids=tuple(to.users or ()), topics=tuple(topics))


def _replayed(replayed: bool) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"idempotency-replayed", b"true"),) if replayed else ()


@endpoint(
    "GET", "/v1/notifications/{id}", scopes=SEE, answers={200: Status}, problems=("not-found",)
)
async def status(call: Call) -> Status:
    """See how a notification stands."""
    return _status(await call.do(GetNotification(call.path["id"])))


@endpoint(
    "GET",
    "/v1/notifications/{id}/deliveries",
    scopes=SEE,
    query=WhichDeliveries,
    answers={200: DeliveryPage},
    problems=("not-found",),
)
async def deliveries(call: Call) -> DeliveryPage:
    """List what became of a notification on each device."""
    asked: WhichDeliveries = call.query
    rows = await call.do(Deliveries(call.path["id"], asked.after, asked.limit))
    more = len(rows) >= asked.limit
    return DeliveryPage([_delivery(row) for row in rows], rows[-1].id if more else None)


@endpoint(
    "POST",
    "/v1/notifications/{id}/cancel",
    scopes=("notify",),
    answers={200: Status},
    problems=("not-found", "finished"),
)
async def cancel(call: Call) -> Status:
    """Stop a notification: what no process has in hand is not delivered."""
    return _status(await call.do(CancelNotification(call.path["id"], call.now)))


def _status(row: NotificationRow) -> Status:
    counts = Counts(
        row.delivered, row.failed, row.expired, row.pending, row.cancelled, row.suppressed
    )
    return Status(row.id, row.state, row.recipients, counts, row.accepted, row.send_at)


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(row.id, row.user, row.device, row.provider, row.state, row.attempts, row.error)


ENDPOINTS: Final = (send, status, deliveries, cancel)
