"""Whom a notification is for. It is decided by its number: everybody whose number is no larger, the
members of a topic at that number, and the users that it names.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from hocket.store.base import AudienceRow, CountAudience, Counted
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work, carries

_SQL = load("audience")
T = TypeVar("T")


def keep(work: Work, number: int, audience: AudienceRow) -> int:
    """Write down a notification's audience; how many they are."""
    users: Iterable[str] = set(audience.users)
    if audience.all:  # a topic's members are among all; users that nobody has seen are not
        users = [user for user in users if not work.value(_SQL.is_known, user)]
    work.db.executemany(_SQL.address, [(number, user) for user in sorted(users)])
    if audience.all:
        return int(work.value(_SQL.count_everybody, number))
    work.db.executemany(_SQL.aim, [(number, topic) for topic in set(audience.topics)])
    return int(work.value(_SQL.count, number))


@carries(CountAudience, reads=True)
def count_audience(work: Work, asked: CountAudience) -> Counted:
    users = msgspec.json.encode(asked.audience.users).decode()
    topics = msgspec.json.encode(asked.audience.topics).decode()
    if asked.audience.all:
        recipients = work.value(_SQL.foresee_everybody, users)
        devices = work.rows(_SQL.devices_of_everybody)
    else:
        recipients = work.value(_SQL.foresee, users, topics)
        devices = work.rows(_SQL.devices_of, users, topics)
    return Counted(int(recipients), dict(devices))


def publish(work: Work, number: int, seq: int) -> None:
    """Put it into the inboxes of those that it names, and of its topics."""
    work.run(_SQL.publish_named, seq, number)
    work.run(_SQL.publish_aimed, seq, number)


def recipients(work: Work, number: int, everybody: bool, after: str = "") -> Iterator[str]:
    """Each of them once, by name; read as the caller goes on."""
    arms = [named(work, number, after)]
    if everybody:
        arms.append(_first(work, _SQL.users, after, number))
    for (topic,) in work.rows(_SQL.topics, number):
        arms.append(_first(work, _SQL.members, topic, after, number))
    return once(heapq.merge(*arms))


def named(work: Work, number: int, after: str = "") -> Iterator[str]:
    """Those of the audience that it names and that are not among all."""
    return _first(work, _SQL.named, number, after)


def _first(work: Work, sql: str, *args: object) -> Iterator[str]:
    return (row[0] for row in work.db.execute(sql, args))


def once(ordered: Iterable[T]) -> Iterator[T]:
    """Without what is the same as the one before."""
    last: object = None
    for each in ordered:
        if each != last:
            yield each
            last = each


def includes(work: Work, number: int, user: str) -> bool:
    return bool(work.value(_SQL.includes, number, user))
