"""Released, read back from the database: so live events and what a client missed are the same."""

from __future__ import annotations

from itertools import islice
from typing import Final

from hocket.store.base import Released
from hocket.store.sqlite import audience
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work

USERS: Final = 5_000  # in one event
EVERYBODY: Final = "\0"  # instead of the last user: the event to everybody was told

_SQL = load("notifications")


def released_after(work: Work, seq: int, user: str = "") -> Released | None:
    """The next event after a seq, or, when some of that release's events were told, after the last
    user in them. None: there is nothing.
    """
    row = work.one(_SQL.released, seq)
    if row is None:
        return None
    number, seq, id, content, at, everybody = row
    if everybody and not user:
        some_left = next(audience.named(work, number), None) is not None
        return Released(seq, id, content, at, True, number, (), last=not some_left)
    if everybody:  # those whom nobody had seen
        names = audience.named(work, number, user if user != EVERYBODY else "")
    else:
        names = audience.recipients(work, number, everybody=False, after=user)
    users = tuple(islice(names, USERS))
    return Released(seq, id, content, at, False, number, users, last=next(names, None) is None)


def position_after(event: Released) -> tuple[int, str]:
    """What to ask for the event that follows."""
    if event.last:
        return event.seq, ""
    return event.seq - 1, EVERYBODY if event.everybody else event.users[-1]
