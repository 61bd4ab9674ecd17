"""Notifications: accepted, released, cancelled, looked at."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from hocket.store.base import (
    Accept,
    Accepted,
    CancelNotification,
    Conflict,
    Deliveries,
    DeliveryRow,
    GetNotification,
    NotificationRow,
    Recipients,
    ReleaseDue,
    Report,
    ReportRow,
)
from hocket.store.sqlite import audience, expanding, settling
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work, carries, page
from hocket.store.taste import NO_PREFERENCES, choosy, subject_of

KEPT: Final = 86_400  # seconds that an idempotency key counts
_AT_ONCE: Final = 10  # notifications released or expired in one operation
_AGAIN: Final = 10.0  # seconds until one that is over is looked at again, if some are in hand

_SQL = load("notifications")


class _Digest(msgspec.Struct, frozen=True):
    key: str
    window: float


class _Content(msgspec.Struct, frozen=True):
    """What the store has to know of a notification's JSON."""

    digest: _Digest | None = None
    topic: str = ""
    critical: bool = False

    @property
    def merges_with(self) -> str | None:
        """The same for what may become one push: one key, and nothing by which preferences or quiet
        hours would tell one from the other.
        """
        if self.digest is None:
            return None
        return msgspec.json.encode((self.digest.key, self.topic, self.critical)).decode()


@carries(Accept)
def accept(work: Work, asked: Accept) -> Accepted:
    before = work.one(_SQL.find, asked.id)
    if before is None and asked.key:
        before = work.one(_SQL.find_key, asked.caller, asked.key, asked.at - KEPT)
    if before is not None:
        return _replay(work, asked, *before)
    number = work.next_number()
    _add(work, asked, number)
    if asked.send_at <= asked.at:
        release(work, number, asked.at)
    return _answer(work, number, replayed=False)


def _replay(work: Work, asked: Accept, number: int, caller: str, request: bytes) -> Accepted:
    if (caller, request) != (asked.caller, asked.digest):
        raise Conflict("key-reused", "this idempotency key was used for something else")
    return _answer(work, number, replayed=True)


def _answer(work: Work, number: int, replayed: bool) -> Accepted:
    id, recipients, state = work.one(_SQL.answer, number)
    return Accepted(id, recipients, state, replayed)


def _add(work: Work, asked: Accept, number: int) -> None:
    content = msgspec.json.decode(asked.content, type=_Content)
    key, pause = content.merges_with, content.digest.window if content.digest else 0.0
    times = (asked.at, asked.send_at, asked.expires_at)
    said = (asked.id, asked.caller, asked.digest, asked.content)
    work.run(_SQL.add, number, *said, *times, asked.collapse_key, asked.audience.all, key, pause)
    work.run(_SQL.add_tally, number)
    work.run(_SQL.set_recipients, audience.keep(work, number, asked.audience), number)
    if asked.key:
        work.run(_SQL.keep_key, asked.caller, asked.key, asked.at, number)


def release(work: Work, number: int, at: float) -> None:
    """Make it visible, and make its first deliveries; small ones have all of them now."""
    seq = int(work.value(_SQL.next_seq))
    work.run(_SQL.release, seq, at, number)
    audience.publish(work, number, seq)
    expanding.begin(work, number)


@carries(ReleaseDue)
def release_due(work: Work, asked: ReleaseDue) -> int:
    due = work.rows(_SQL.due, asked.now, _AT_ONCE)
    for number, _ in due:
        release(work, number, asked.now)
    for (number,) in work.rows(_SQL.over, asked.now, _AT_ONCE):
        expanding.expand(work, number)
        settling.close_open(work, number, "expired")
        work.run(_SQL.look_again, asked.now + _AGAIN, number)
    return len(due)


def next_release(work: Work) -> float:
    """When ReleaseDue has something to do; 0: it never has."""
    return float(work.value(_SQL.next_release) or 0.0)


def _find(work: Work, id: str) -> tuple[int, bool]:
    row = work.one(_SQL.number, id)
    if row is None:
        raise Conflict("not-found", f"there is no notification {id!r}")
    return int(row[0]), bool(row[1])


def row_of(work: Work, number: int) -> NotificationRow:
    return NotificationRow(*work.one(_SQL.get, number))


@carries(GetNotification, reads=True)
def get_notification(work: Work, asked: GetNotification) -> NotificationRow:
    return row_of(work, _find(work, asked.id)[0])


@carries(CancelNotification)
def cancel_notification(work: Work, asked: CancelNotification) -> NotificationRow:
    number, _ = _find(work, asked.id)
    if work.run(_SQL.cancel, number):
        work.run(_SQL.stop, number)
        settling.close_open(work, number, "cancelled")
        work.touched.add(number)
    return row_of(work, number)


@carries(Deliveries, reads=True)
def deliveries(work: Work, asked: Deliveries) -> list[DeliveryRow]:
    number, _ = _find(work, asked.notification)
    rows = work.rows(_SQL.deliveries, number, asked.after, page(asked.limit))
    return [DeliveryRow(*row) for row in rows]


@carries(Recipients, reads=True)
def recipients(work: Work, asked: Recipients) -> list[str]:
    number, everybody = _find(work, asked.notification)
    names = audience.recipients(work, number, everybody, asked.after)
    return list(islice(names, page(asked.limit)))


@carries(Report, reads=True)
def report(work: Work, asked: Report) -> list[ReportRow]:
    number, everybody = _find(work, asked.notification)
    names = audience.recipients(work, number, everybody, asked.after)
    return [_report_row(work, number, user) for user in islice(names, page(asked.limit))]


def _report_row(work: Work, number: int, user: str) -> ReportRow:
    rows = [DeliveryRow(*row) for row in work.rows(_SQL.deliveries_of, number, user)]
    return ReportRow(user, rows, not rows and not _wants(work, number, user))


def _wants(work: Work, number: int, user: str) -> bool:
    """Whether the user wants it in the inbox."""
    taste = choosy(work.value(_SQL.preferences, user) or NO_PREFERENCES, "inbox")
    return taste is None or taste.wants(subject_of(work.value(_SQL.content, number)))
