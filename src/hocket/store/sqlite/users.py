"""Users, topics, preferences."""

from __future__ import annotations

from hocket.store.base import (
    GetPreferences,
    JoinTopic,
    LeaveTopic,
    Preferred,
    Seen,
    SeeUsers,
    SetPreferences,
    TopicsOf,
)
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work, carries
from hocket.store.taste import NO_PREFERENCES

_SQL = load("users")


@carries(SeeUsers)
def see_users(work: Work, asked: SeeUsers) -> Seen:
    new = see(work, *asked.users)
    found = [work.one(_SQL.number, user) for user in asked.users]
    numbers = tuple([number for number, _ in found])
    choosy = tuple([at for at, (_, has_preferences) in enumerate(found) if has_preferences])
    return Seen(new, work.last_seq(), numbers, choosy)


def see(work: Work, *users: str) -> int:
    """These users exist; how many were unknown."""
    unknown = {user for user in users if work.value(_SQL.number, user) is None}
    if unknown:
        number, seq = work.next_number(), work.last_seq()
        work.db.executemany(_SQL.see, [(user, number, seq) for user in unknown])
        work.run(_SQL.count, len(unknown))
    return len(unknown)


@carries(JoinTopic)
def join_topic(work: Work, asked: JoinTopic) -> bool:
    see(work, asked.user)
    if work.value(_SQL.is_in, asked.topic, asked.user):
        return False
    number, seq = work.next_number(), work.last_seq()
    work.run(_SQL.join, asked.topic, asked.user, number, seq)
    return True


@carries(LeaveTopic)
def leave_topic(work: Work, asked: LeaveTopic) -> bool:
    return work.run(_SQL.leave, work.last_number(), asked.topic, asked.user) > 0


@carries(TopicsOf, reads=True)
def topics_of(work: Work, asked: TopicsOf) -> list[str]:
    return [topic for (topic,) in work.rows(_SQL.topics, asked.user)]


@carries(SetPreferences)
def set_preferences(work: Work, asked: SetPreferences) -> None:
    see(work, asked.user)
    work.run(_SQL.set_preferences, asked.preferences, asked.user)
    work.told.append(Preferred(asked.user))


@carries(GetPreferences, reads=True)
def get_preferences(work: Work, asked: GetPreferences) -> bytes:
    preferences: bytes | None = work.value(_SQL.preferences, asked.user)
    return NO_PREFERENCES if preferences is None else preferences
