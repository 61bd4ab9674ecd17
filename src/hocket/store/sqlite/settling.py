"""Deliveries end, and are counted: the tallies are exact whenever somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work

SETTLED: Final = {  # how a delivery can end, and what that counts as
    "delivered": "delivered",
    "failed": "failed",
    "dead": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
    "suppressed": "suppressed",
}

_SQL = load("settling")


def count(work: Work, counts: Mapping[tuple[int, str], int]) -> None:
    """So many deliveries of a notification ended in that state."""
    for (notification, state), number in counts.items():
        work.run(getattr(_SQL, f"count_{SETTLED[state]}"), number, notification)
    for notification in {notification for notification, _ in counts}:
        finish(work, notification)


def finish(work: Work, notification: int) -> None:
    """It is done if nothing is left to do."""
    work.run(_SQL.finish, notification)
    work.touched.add(notification)


def fail_open(work: Work, device: str, error: str) -> None:
    """What a device was still to get and nobody has in hand."""
    rows = work.rows(_SQL.fail_open, error, device)
    count(work, Counter((notification, "failed") for (notification,) in rows))


def close_open(work: Work, notification: int, state: str) -> None:
    """What of a notification nobody has in hand ends in this state."""
    if closed := work.run(_SQL.close_open, state, notification):
        count(work, {(notification, state): closed})
