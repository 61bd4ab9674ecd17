"""Random histories of users, topics, devices, schedules, deliveries and inboxes, in the store and
in a model: whatever can be seen is the same.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hocket.store.base import (
    CancelNotification,
    Claim,
    CountUnread,
    Deliveries,
    GetNotification,
    Inbox,
    JoinTopic,
    LeaveTopic,
    MarkInbox,
    Operation,
    Recipients,
    RegisterDevice,
    Released,
    ReleaseDue,
    RemoveDevice,
    SeeUsers,
    Settle,
    Settled,
)
from hocket.store.sqlite.database import NAME, open_database
from hocket.store.sqlite.events import position_after
from hocket.store.sqlite.ledger import Ledger
from tests.contract.stores import accept
from tests.unit.store.model import Model, Told

T = TypeVar("T")

NAMES = ["ada", "bob"]  # few, so that steps meet each other
names = st.sampled_from(NAMES)
topics = st.sampled_from(["news", "news", "art"])
tokens = st.sampled_from(["t1", "t2", "t3"])
states = st.sampled_from(["delivered", "failed", "dead", "suppressed", "retry"])
whats = st.sampled_from(["read", "unread", "archived", "unarchived"])


# What can happen, as the name of a method below and its arguments.
STEPS = st.one_of(
    st.tuples(st.just("see"), names),
    st.tuples(st.just("join"), names, topics),
    st.tuples(st.just("leave"), names, topics),
    st.tuples(st.just("register"), names, tokens),
    st.tuples(st.just("remove"), tokens),
    st.tuples(
        st.just("accept"),
        st.booleans(),
        st.lists(names, max_size=2),
        st.lists(topics, max_size=2),
        st.sampled_from([0, 0, 10, 20]),
    ),
    st.tuples(st.just("time_passes"), st.sampled_from([5, 10, 30])),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("deliver"), st.lists(states, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("mark"), names, whats, st.lists(st.integers(0, 9), max_size=3)),
)


@functools.cache
def empty() -> Path:
    """A folder with an empty database, made once."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    open_database(folder).close()
    return folder


class Histories:
    def __init__(self, folder: Path) -> None:
        shutil.copy(empty() / NAME, folder)
        db = open_database(folder)
        db.execute("PRAGMA synchronous = OFF")
        self.ledger = Ledger(db)
        self.model = Model()
        self.now = 100.0
        self.ids: dict[str, str] = {}  # of devices, by token

    def do(self, operation: Operation[T]) -> T:
        [answer] = self.ledger.carry_out([(1, operation)])
        if isinstance(answer, Exception):
            raise answer
        found: T = answer
        return found

    def see(self, user: str) -> None:
        assert self.do(SeeUsers((user,))).new == (user not in self.model.users)
        self.model.users.add(user)

    def join(self, user: str, topic: str) -> None:
        assert self.do(JoinTopic(topic, user)) == ((topic, user) not in self.model.topics)
        self.model.users.add(user)
        self.model.topics.add((topic, user))

    def leave(self, user: str, topic: str) -> None:
        assert self.do(LeaveTopic(topic, user)) == ((topic, user) in self.model.topics)
        self.model.topics.discard((topic, user))

    def register(self, user: str, token: str) -> None:
        answer = self.do(RegisterDevice(user, "fcm", token, self.now))
        assert answer.replaced == (token in self.model.devices)
        self.ids[token] = answer.id
        self.model.register(user, token)

    def remove(self, token: str) -> None:
        there = token in self.model.devices
        assert self.do(RemoveDevice(self.ids.get(token, "none"))) == there
        self.model.remove(token)

    def accept(self, everybody: bool, users: list[str], topics: list[str], delay: int) -> None:
        id, send_at = f"n{len(self.model.told)}", self.now + delay if delay else 0.0
        asked = accept(id, *users, topics=topics, everybody=everybody, at=self.now, send_at=send_at)
        answer = self.do(asked)
        each = self.model.accept(id, asked.audience, self.now, send_at)
        assert (answer.recipients, answer.state) == (len(each.recipients), each.state)

    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.do(ReleaseDue(self.now))
        self.model.release_due(self.now)

    def cancel(self, which: int) -> None:
        if which < len(self.model.told):
            each = self.model.told[-1 - which]
            self.model.cancel(each)
            assert self.do(CancelNotification(each.id, self.now)).state == each.state

    def deliver(self, ends: list[str], cancelled: bool) -> None:
        """As many as there are ends; `cancelled`: one of theirs is, while they are in hand."""
        held = self.do(Claim("fcm", len(ends), self.now, self.now + 60))
        opened = sum(s == "queued" for e in self.model.told for s in e.deliveries.values())
        assert len(held) == min(len(ends), opened)
        tokens = {id: token for token, id in self.ids.items()}
        by_id = {each.id: each for each in self.model.told}
        in_hand = {(each.notification, tokens[each.device]) for each in held}
        if cancelled and held:
            self.do(CancelNotification(held[0].notification, self.now))
            self.model.cancel(by_id[held[0].notification], in_hand)
        for each, state in zip(held, ends, strict=False):
            self.do(Settle((Settled(each.id, state, self.now, "why"),)))
            self.model.settle(by_id[each.notification], tokens[each.device], state, in_hand)
            in_hand.discard((each.notification, tokens[each.device]))
        self.ledger.gone(1)

    def mark(self, user: str, what: Any, which: list[int]) -> None:
        inside = [each.id for each in self.model.inbox(user)]
        chosen = [inside[number] for number in which if number < len(inside)]
        if chosen or not which:
            self.do(MarkInbox(user, what, tuple(chosen), self.now))
            self.model.mark(user, what, chosen)

    def inboxes_are_the_same(self) -> None:
        for user in NAMES:
            inside = self.model.inbox(user)
            for archived in (False, True):
                wanted = [
                    (each.seq, each.id, (user, each.id) in self.model.read)
                    for each in inside
                    if ((user, each.id) in self.model.archived) == archived
                ]
                assert self._pages(user, archived) == wanted
                newest = self.do(Inbox(user, limit=3, archived=archived))
                assert [row.seq for row in newest] == [each[0] for each in wanted[::-1][:3]]
            marked = self.model.read | self.model.archived
            unread = [each for each in inside if (user, each.id) not in marked]
            assert self.do(CountUnread(user)) == len(unread)

    def _pages(self, user: str, archived: bool) -> list[tuple[int, str, bool]]:
        """All of an inbox, two at a time."""
        found: list[tuple[int, str, bool]] = []
        after = 0
        while rows := self.do(Inbox(user, after=after, limit=2, archived=archived)):
            found += [(row.seq, row.id, row.read > 0) for row in rows]
            after = rows[-1].seq
        return found

    def reports_are_the_same(self) -> None:
        devices = {id: token for token, id in self.ids.items()}
        for each in self.model.told:
            row = self.do(GetNotification(each.id))
            assert (row.state, row.seq, row.recipients) == (
                each.state,
                each.seq,
                len(each.recipients),
            )
            assert self.do(Recipients(each.id)) == sorted(each.recipients)
            states = list(each.deliveries.values())
            assert row.failed == states.count("failed") + states.count("dead")
            for state in ("delivered", "cancelled", "suppressed"):
                assert getattr(row, state) == states.count(state)
            assert row.pending == states.count("queued")
            found = self.do(Deliveries(each.id))
            assert len(found) == len(states)
            for delivery in found:
                if delivery.device in devices:  # a token registered anew has another id
                    wanted = each.deliveries[devices[delivery.device]]
                    assert delivery.state.replace("retry", "queued") == wanted

    def events_are_what_was_released(self) -> None:
        position, heard = (0, ""), []
        while (event := self.ledger.released(*position)) is not None:
            position = position_after(event)
            heard.append(event)
        assert [event.seq for event in heard if event.last] == [e.seq for e in self.model.released]
        for each in self.model.released:
            self._names(each, [event for event in heard if event.seq == each.seq])

    def _names(self, each: Told, events: list[Released]) -> None:
        named = {user for event in events for user in event.users}
        if not events[0].everybody:
            assert named == each.recipients
        else:
            assert named <= each.recipients <= named | self.model.users


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=10, max_size=40))
def test_histories(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        histories = Histories(Path(folder))
        for number, (name, *arguments) in enumerate(steps, 1):
            getattr(histories, name)(*arguments)
            if number in (10, len(steps)):
                histories.inboxes_are_the_same()
                histories.reports_are_the_same()
        histories.events_are_what_was_released()
        histories.ledger.close()
