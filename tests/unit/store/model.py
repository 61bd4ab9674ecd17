"""What a store does, as plainly as it can be said."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from hocket.store.base import AudienceRow

InHand = Set[tuple[str, str]]  # deliveries: notification and token


@dataclass
class Told:
    """A notification."""

    id: str
    order: int
    recipients: set[str]
    send_at: float
    state: str = "scheduled"
    seq: int = 0
    deliveries: dict[str, str] = field(default_factory=dict)  # state by device


@dataclass
class Model:
    users: set[str] = field(default_factory=set)
    topics: set[tuple[str, str]] = field(default_factory=set)
    devices: dict[str, tuple[str, int]] = field(default_factory=dict)  # user, since, by token
    told: list[Told] = field(default_factory=list)
    released: list[Told] = field(default_factory=list)
    read: set[tuple[str, str]] = field(default_factory=set)
    archived: set[tuple[str, str]] = field(default_factory=set)
    order: int = 0

    def register(self, user: str, token: str) -> None:
        self.users.add(user)
        self.order += 1
        before = self.devices.get(token)
        if before is not None and before[0] != user:
            self._end_open(token)
        since = before[1] if before is not None and before[0] == user else self.order
        self.devices[token] = user, since

    def remove(self, token: str, in_hand: InHand = frozenset()) -> None:
        if self.devices.pop(token, None) is not None:
            self._end_open(token, in_hand)

    def _end_open(self, token: str, in_hand: InHand = frozenset()) -> None:
        for each in self.released:
            if each.deliveries.get(token) == "queued" and (each.id, token) not in in_hand:
                each.deliveries[token] = "failed"
            self._finish(each)

    def accept(self, id: str, audience: AudienceRow, now: float, send_at: float) -> Told:
        self.order += 1
        recipients = set(audience.users) | (self.users if audience.all else set())
        recipients |= {user for topic, user in self.topics if topic in audience.topics}
        each = Told(id, self.order, recipients, send_at)
        self.told.append(each)
        if send_at <= now:
            self._release(each)
        return each

    def _release(self, each: Told) -> None:
        self.released.append(each)
        each.state, each.seq = "running", len(self.released)
        for token, (user, since) in self.devices.items():
            if user in each.recipients and since <= each.order:
                each.deliveries[token] = "queued"
        self._finish(each)

    def _finish(self, each: Told) -> None:
        if each.state == "running" and "queued" not in each.deliveries.values():
            each.state = "done"

    def release_due(self, now: float) -> None:
        due = [each for each in self.told if each.state == "scheduled" and each.send_at <= now]
        for each in sorted(due, key=lambda each: (each.send_at, each.order)):
            self._release(each)

    def cancel(self, each: Told, in_hand: InHand = frozenset()) -> None:
        if each.state in ("scheduled", "running"):
            each.state = "cancelled"
            for token, state in each.deliveries.items():
                if state == "queued" and (each.id, token) not in in_hand:
                    each.deliveries[token] = "cancelled"

    def settle(self, each: Told, token: str, state: str, in_hand: InHand = frozenset()) -> None:
        if state == "retry":
            if each.state == "cancelled":
                each.deliveries[token] = "cancelled"
            elif token not in self.devices:
                each.deliveries[token] = "failed"
        else:
            each.deliveries[token] = state
        self._finish(each)
        if state == "dead":
            self.remove(token, in_hand - {(each.id, token)})

    def inbox(self, user: str) -> list[Told]:
        return [each for each in self.released if user in each.recipients]

    def mark(self, user: str, what: str, ids: list[str]) -> None:
        if not ids:
            self.users.add(user)
        for id in ids or [each.id for each in self.inbox(user)]:
            marks = self.read if what.endswith("read") else self.archived
            (marks.discard if what.startswith("un") else marks.add)((user, id))
