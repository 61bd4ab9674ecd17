"""Inboxes. What is in one is not stored a row a user: it is the broadcasts since the user was seen,
what the topics told while the user was in them, and what names the user; each already sorted by
`seq`, merged as far as a page goes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

from hocket.store.base import Conflict, CountUnread, Inbox, InboxRow, Marked, MarkInbox
from hocket.store.sqlite import audience
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.users import see
from hocket.store.sqlite.work import MOST, ROOM, Work, carries, page
from hocket.store.taste import NO_PREFERENCES, Taste, choosy, subject_of

_END: Final = 2**63 - 1  # after every seq

_SQL = load("inbox")


class _User(NamedTuple):
    """From the table of users; what nobody has seen has these."""

    number: int = _END
    seq: int = _END
    read_upto: int = 0
    read_at: float = 0.0
    archived_upto: int = 0
    archived_at: float = 0.0
    preferences: bytes = NO_PREFERENCES


def _user(work: Work, name: str) -> _User:
    return _User(*(work.one(_SQL.user, name) or ()))


def _seqs(
    work: Work, name: str, user: _User, after: int = 0, before: int = _END, down: bool = False
) -> Iterator[int]:
    """Between these two, each once; read as the caller goes on."""
    way = "down" if down else "up"

    def arm(kind: str, *args: Any) -> Iterator[int]:
        return (seq for (seq,) in work.db.execute(getattr(_SQL, f"{kind}_{way}"), args))

    arms = [
        arm("broadcasts", max(after, user.seq), before, user.number),
        arm("named", name, after, before),
    ]
    for topic, since, until, seq in work.rows(_SQL.memberships, name):
        arms.append(arm("aired", topic, max(after, seq), before, since, until))
    return audience.once(heapq.merge(*arms, reverse=down))


def _marks(work: Work, name: str, user: _User, seq: int) -> tuple[float, float]:
    """When it was read and archived; 0: it is not."""
    read, archived = work.one(_SQL.mark, name, seq) or (None, None)
    if read is None:
        read = user.read_at if seq <= user.read_upto else 0.0
    if archived is None:
        archived = user.archived_at if seq <= user.archived_upto else 0.0
    return read, archived


def _wanted(work: Work, seqs: Iterable[int], taste: Taste | None) -> Iterator[int]:
    """Those that the user wants."""
    for seq in seqs:
        if taste is None or taste.wants(subject_of(work.value(_SQL.content, seq))):
            yield seq


@carries(Inbox, reads=True)
def inbox(work: Work, asked: Inbox) -> list[InboxRow]:
    limit, user = page(asked.limit), _user(work, asked.user)
    if asked.after is not None:
        seqs = _seqs(work, asked.user, user, after=asked.after)
    else:
        seqs = _seqs(work, asked.user, user, before=asked.before or _END, down=True)
    taste = choosy(user.preferences, asked.channel)
    rows: list[InboxRow] = []
    room = ROOM
    for seq in _wanted(work, seqs, taste):
        read, archived = _marks(work, asked.user, user, seq)
        if bool(archived) == asked.archived:
            id, content, at = work.one(_SQL.item, seq)
            rows.append(InboxRow(seq, id, content, at, read, archived))
            room -= len(content)
            if len(rows) == limit or room <= 0:
                break
    return rows


@carries(CountUnread, reads=True)
def count_unread(work: Work, asked: CountUnread) -> int:
    user = _user(work, asked.user)
    marked = max(user.read_upto, user.archived_upto)  # up to here only what has a mark is unread
    rows = work.rows(_SQL.marks_upto, asked.user, marked, user.read_upto, user.archived_upto)
    after = (
        seq
        for seq in _seqs(work, asked.user, user, after=marked)
        if not any(_marks(work, asked.user, user, seq))
    )
    unread = chain((seq for (seq,) in rows), after)
    return sum(1 for _ in _wanted(work, unread, choosy(user.preferences, "inbox")))


@carries(MarkInbox)
def mark_inbox(work: Work, asked: MarkInbox) -> None:
    if len(asked.ids) > MOST:
        raise ValueError(f"at most {MOST} ids")
    kind = "read" if asked.what in ("read", "unread") else "archived"
    at = 0.0 if asked.what.startswith("un") else asked.at
    if asked.ids:
        seqs = [_seq_of(work, asked.user, id) for id in asked.ids]
        rows = [(asked.user, seq, at) for seq in seqs]
        work.db.executemany(getattr(_SQL, f"mark_{kind}"), rows)
    else:
        see(work, asked.user)
        upto = work.last_seq() if at else 0
        work.run(getattr(_SQL, f"all_{kind}"), upto, at, asked.user)
        work.run(getattr(_SQL, f"clear_{kind}"), asked.user)
        work.run(_SQL.drop_marks, asked.user)
    work.told.append(Marked(asked.user, asked.what, asked.ids))


def _seq_of(work: Work, user: str, id: str) -> int:
    row = work.one(_SQL.find, id)
    if row is None or not audience.includes(work, row[0], user):
        raise Conflict("not-found", f"{id!r} is not in this inbox")
    return int(row[1])
