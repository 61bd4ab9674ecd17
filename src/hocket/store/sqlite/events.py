"""Released, read back from the database: so live events and what a client missed are the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from hocket.store.base import Released
from hocket.store.sqlite import audience
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work

USERS: Final = 5_000  # in one event

_SQL = load("notifications")


def released_after(work: Work, after: int) -> Iterator[Released]:
    """The first notification after a seq."""
    row = work.one(_SQL.released, after)
    if row is None:
        return
    number, seq, id, content, at, everybody = row
    if everybody:
        users = audience.named(work, number)  # those whom nobody had seen
    else:
        users = audience.recipients(work, number, everybody=False)
    chunk, after_it = tuple(islice(users, USERS)), tuple(islice(users, USERS))
    if everybody:
        yield Released(seq, id, content, at, True, number, (), last=not chunk)
    while chunk or not everybody:
        yield Released(seq, id, content, at, False, number, chunk, last=not after_it)
        everybody, chunk, after_it = True, after_it, tuple(islice(users, USERS))
