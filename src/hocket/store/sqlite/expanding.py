"""Deliveries are made from devices in batches, behind a cursor: the last device of a broadcast, the
last user of any other audience. What was registered after the notification was accepted is left
out.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from hocket.store.sqlite import audience, settling
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import BATCH, Work

_SQL = load("expanding")


def begin(work: Work, number: int) -> None:
    work.run(_SQL.begin, number)
    expand(work, number)


def expand_some(work: Work) -> bool:
    """A batch, of several notifications if several wait: a small one does not wait for a large one.
    False: nothing is left to make.
    """
    waiting = work.rows(_SQL.unfinished)
    for (number,) in waiting:
        expand(work, number, BATCH // len(waiting))
    return bool(waiting)


def is_unfinished(work: Work) -> bool:
    return work.one(_SQL.unfinished) is not None


def expand(work: Work, number: int, limit: int = BATCH) -> None:
    """The next deliveries of a notification, if there are more."""
    job = work.one(_SQL.job, number)
    if job is None:
        return
    cursor, everybody, at, digest, pause = job
    fields = {"number": number, "at": at, "digest": digest, "pause": pause}
    make = _to_everybody if everybody else _to_users
    cursor, made = make(work, fields, cursor, limit)
    work.run(_SQL.advance, cursor, made, number)
    settling.finish(work, number)


def _to_everybody(
    work: Work, fields: dict[str, Any], after: str, limit: int
) -> tuple[str | None, int]:
    end = f"{fields['number'] + 1:010x}"  # ids begin with the number of their registration
    fields |= {"after": after, "end": end, "limit": limit}
    made = work.db.execute(_SQL.to_everybody, fields).fetchall()
    return (max(made)[0] if len(made) == limit else None), len(made)


def _to_users(work: Work, fields: dict[str, Any], after: str, limit: int) -> tuple[str | None, int]:
    found = audience.recipients(work, fields["number"], everybody=False, after=after)
    users = list(islice(found, limit))
    rows = [fields | {"user": user} for user in users]
    made = work.db.executemany(_SQL.to_user, rows).rowcount
    return (users[-1] if len(users) == limit else None), max(made, 0)
