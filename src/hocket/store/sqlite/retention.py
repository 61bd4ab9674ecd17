"""What is over and old is deleted, a bounded number of rows at a time: so whoever asks the store
meanwhile waits for one batch at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hocket.store.base import DeleteOld
from hocket.store.sqlite.notifications import KEPT
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import BATCH, Work, carries

_SQL = load("retention")


@carries(DeleteOld)
def delete_old(work: Work, asked: DeleteOld) -> int:
    deleted = 0
    for step in _STEPS:
        while deleted < BATCH and (count := step(work, asked, BATCH - deleted)):
            deleted += count
    return deleted


def _keys(work: Work, asked: DeleteOld, limit: int) -> int:
    return work.run(_SQL.drop_keys, asked.now - KEPT, limit)


def _rest(work: Work, asked: DeleteOld, limit: int) -> int:
    """What is left of a notification that is not there any more."""
    row = work.one(_SQL.gone)
    if row is None:
        return 0
    number, seq = row
    return (
        work.run(_SQL.drop_deliveries, number, limit)
        or _addressed(work, number, seq, limit)
        or work.run(_SQL.drop_marks, seq, limit)
        or work.run(_SQL.forget, number)
    )


def _addressed(work: Work, number: int, seq: int | None, limit: int) -> int:
    users = [user for (user,) in work.rows(_SQL.addressed, number, limit)]
    work.db.executemany(_SQL.drop_item, [(user, seq) for user in users])
    work.db.executemany(_SQL.drop_address, [(user, number) for user in users])
    return len(users)


def _notification(work: Work, asked: DeleteOld, limit: int) -> int:
    """From here on nobody sees it."""
    row = work.one(_SQL.old, asked.before)
    if row is None:
        return 0
    number, seq = row
    work.run(_SQL.drop_aired, seq, number)
    for query in (_SQL.drop_aimed, _SQL.drop_tally, _SQL.drop_notification):
        work.run(query, number)
    work.run(_SQL.bury, number, seq)
    deleted = 1
    while deleted < limit and (count := _rest(work, asked, limit - deleted)):
        deleted += count
    return deleted


def _memberships(work: Work, asked: DeleteOld, limit: int) -> int:
    """Of topics that users have left, where no notification is left from before that."""
    return work.run(_SQL.drop_memberships, work.value(_SQL.oldest), limit) if asked.before else 0


_STEPS: Final[tuple[Callable[[Work, DeleteOld, int], int], ...]] = (
    _keys,
    _rest,
    _notification,
    _memberships,
)
