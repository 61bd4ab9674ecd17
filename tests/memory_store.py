"""A store in memory, as simple as it can be: the model that others are compared with, and a store
that tests can stop, start again and slow down.
"""
# ruff: noqa: N802 - methods are named as the operations are

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hocket.store import base
from hocket.store.base import Conflict, StoreError
from hocket.store.taste import choosy, subject_of

T = TypeVar("T")

SETTLED = ("delivered", "failed", "dead", "expired", "cancelled", "suppressed")


@dataclass
class Kept:
    """A notification."""

    asked: base.Accept
    number: int
    recipients: list[str]
    seq: int = 0
    at: float = 0.0
    state: base.State = "scheduled"


@dataclass
class Delivery:
    """One device's."""

    row: base.DeliveryRow
    notification: str
    token: str
    registered: float
    due: float = 0.0
    by: object = None
    state: str = "queued"
    attempts: int = 0
    error: str = ""

    def as_row(self) -> base.DeliveryRow:
        row = self.row
        return base.DeliveryRow(
            row.id, row.user, row.device, row.provider, self.state, self.attempts, self.error
        )


@dataclass
class MemoryStore:
    """All of it. `down`: it raises StoreError and says nothing; `lag`: an event goes out only when
    `let_out` is called.
    """

    down: bool = False
    lag: bool = False
    users: dict[str, int] = field(default_factory=dict)
    topics: dict[str, set[str]] = field(default_factory=dict)
    preferences: dict[str, bytes] = field(default_factory=dict)
    devices: dict[str, base.DeviceRow] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    marks: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    released: list[base.Released] = field(default_factory=list)
    said: list[base.Event] = field(default_factory=list)
    out: int = 0
    next: int = 0

    async def do(self, operation: base.Operation[T]) -> T:
        await asyncio.sleep(0)
        if self.down:
            raise StoreError("the store is not there")
        self.asked.append(operation)
        answer = getattr(self, "_" + type(operation).__name__)(operation)
        return answer  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Nothing is open."""

    def say(self, event: base.Event) -> None:
        self.said.append(event)
        if not self.lag:
            self.let_out()

    def let_out(self, count: int | None = None) -> None:
        self.out = len(self.said) if count is None else min(self.out + count, len(self.said))
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def events(self, after: int | None = None) -> AsyncIterator[base.Event]:
        at = self.out
        if after is not None:
            at = next(
                (
                    index
                    for index, event in enumerate(self.said)
                    if isinstance(event, base.Released) and event.seq > after
                ),
                len(self.said),
            )
        while True:
            while at < self.out and not self.down:
                at += 1
                yield self.said[at - 1]
            await self.changed.wait()

    def _number(self) -> int:
        self.next += 1
        return self.next

    # Users

    def _SeeUsers(self, asked: base.SeeUsers) -> base.Seen:
        new = [user for user in dict.fromkeys(asked.users) if user not in self.users]
        for user in new:
            self.users[user] = self._number()
        numbers = tuple(self.users[user] for user in asked.users)
        choosy = tuple(at for at, user in enumerate(asked.users) if user in self.preferences)
        return base.Seen(len(new), len(self.released), numbers, choosy)

    def _JoinTopic(self, asked: base.JoinTopic) -> bool:
        members = self.topics.setdefault(asked.topic, set())
        before = asked.user in members
        members.add(asked.user)
        return not before

    def _LeaveTopic(self, asked: base.LeaveTopic) -> bool:
        members = self.topics.setdefault(asked.topic, set())
        before = asked.user in members
        members.discard(asked.user)
        return before

    def _SetPreferences(self, asked: base.SetPreferences) -> None:
        self.preferences[asked.user] = asked.preferences
        self.say(base.Preferred(asked.user))

    def _GetPreferences(self, asked: base.GetPreferences) -> bytes:
        return self.preferences.get(asked.user, b"{}")

    def _RegisterDevice(self, asked: base.RegisterDevice) -> base.Registered:
        same = [
            each
            for each in self.devices.values()
            if (each.provider, each.token) == (asked.provider, asked.token)
            and (not asked.beside or each.user == asked.user)
        ]
        same.sort(key=lambda each: each.user != asked.user)
        if not same or same[0].user != asked.user:
            theirs = [each for each in self.devices.values() if each.user == asked.user]
            if asked.most and len(theirs) >= asked.most:
                raise Conflict("too-many-devices", f"a user has at most {asked.most} devices")
        id = same[0].id if same else f"d{len(self.devices):06}"
        self._SeeUsers(base.SeeUsers((asked.user,)))
        self.devices[id] = base.DeviceRow(id, asked.user, asked.provider, asked.token, asked.at)
        return base.Registered(id, bool(same))

    # Notifications

    def _Accept(self, asked: base.Accept) -> base.Accepted:
        for kept in self.kept.values():
            if asked.key and (kept.asked.caller, kept.asked.key) == (asked.caller, asked.key):
                if kept.asked.digest != asked.digest:
                    raise Conflict("key-reused", "another body")
                return base.Accepted(kept.asked.id, len(kept.recipients), kept.state, True)
        audience, number = asked.audience, self._number()
        chosen = {*audience.users, *(self.users if audience.all else ())}
        for topic in audience.topics:
            chosen |= self.topics.get(topic, set())
        self._SeeUsers(base.SeeUsers(tuple(sorted(chosen))))
        kept = self.kept[asked.id] = Kept(asked, number, sorted(chosen))
        for device in [self.devices[id] for id in sorted(self.devices)]:
            if device.user in chosen:
                id = len(self.deliveries) + 1
                row = base.DeliveryRow(id, device.user, device.id, device.provider, "", 0, "")
                self.deliveries.append(Delivery(row, asked.id, device.token, device.registered))
        if asked.send_at <= asked.at:
            self._release(kept, asked.at)
        return base.Accepted(asked.id, len(chosen), kept.state, False)

    def _release(self, kept: Kept, at: float, size: int = 2) -> None:
        asked = kept.asked
        kept.seq, kept.at, kept.state = len(self.released) + 1, at, "running"
        everybody = asked.audience.all
        before = {user for user, number in self.users.items() if number < kept.number}
        named = [user for user in kept.recipients if not everybody or user not in before]
        parts = [*([()] if everybody else []), *_batched(named, size)] or [()]
        for index, users in enumerate(parts):
            to_all, last = everybody and not index, index == len(parts) - 1
            self.say(
                base.Released(
                    kept.seq, asked.id, asked.content, at, to_all, kept.number, users, last
                )
            )
        self.released.append(self.said[-1])  # type: ignore[arg-type]
        self._progress(kept)

    def _row(self, id: str) -> base.NotificationRow:
        kept = self.kept.get(id)
        if kept is None:
            raise Conflict("not-found", "no such notification")
        states = [each.state for each in self.deliveries if each.notification == id]
        counts = {state: states.count(state) for state in SETTLED}
        counts["failed"] += counts.pop("dead")
        pending = sum(state not in SETTLED for state in states)
        if kept.state == "running" and not pending:
            kept.state = "done"
        return base.NotificationRow(
            id=id, seq=kept.seq, state=kept.state, content=kept.asked.content,
            accepted=kept.asked.at, send_at=kept.asked.send_at, recipients=len(kept.recipients),
            pending=pending, **counts,
        )  # fmt: skip

    def _progress(self, kept: Kept) -> None:
        row = self._row(kept.asked.id)
        self.say(
            base.Progress(
                row.id, row.state, row.delivered, row.failed, row.expired, row.cancelled,
                row.suppressed, row.pending,
            )
        )  # fmt: skip

    def _GetNotification(self, asked: base.GetNotification) -> base.NotificationRow:
        return self._row(asked.id)

    def _CancelNotification(self, asked: base.CancelNotification) -> base.NotificationRow:
        row = self._row(asked.id)
        if row.state == "done":
            return row
        self.kept[asked.id].state = "cancelled"
        for each in self.deliveries:
            if each.notification == asked.id and each.state in ("queued", "retry"):
                each.state = "cancelled"
        self._progress(self.kept[asked.id])
        return self._row(asked.id)

    def _Report(self, asked: base.Report) -> list[base.ReportRow]:
        self._row(asked.notification)
        users = [u for u in self.kept[asked.notification].recipients if u > asked.after]
        return [
            base.ReportRow(
                user,
                [
                    each.as_row()
                    for each in self.deliveries
                    if each.notification == asked.notification and each.row.user == user
                ],
            )
            for user in users[: asked.limit]
        ]

    # The outbox

    def _due(self, provider: str, now: float) -> list[Delivery]:
        return [
            each
            for each in self.deliveries
            if each.row.provider == provider
            and each.state in ("queued", "retry")
            and each.due <= now
            and self.kept[each.notification].state == "running"
        ]

    def _Claim(self, asked: base.Claim) -> list[base.Claimed]:
        found = self._due(asked.provider, asked.now)[: asked.limit]
        claimed = []
        for each in found:
            kept = self.kept[each.notification].asked
            each.state = "leased"
            claimed.append(
                base.Claimed(
                    each.row.id, kept.id, kept.content, kept.expires_at, kept.collapse_key,
                    each.attempts, each.row.user, each.row.device, each.token, each.registered,
                    self.preferences.get(each.row.user, b"{}"),
                )
            )  # fmt: skip
        return claimed

    def _Settle(self, asked: base.Settle) -> None:
        for result in asked.results:
            each = self.deliveries[result.id - 1]
            if each.state != "leased":
                continue
            waited = result.state == "retry" and not result.error
            each.state, each.due = result.state, result.at
            each.error = each.error if waited else result.error
            each.attempts += result.state in ("retry", "delivered", "failed", "dead") and not waited
            if result.state == "dead" and each.registered <= (result.dead_since or result.at):
                self.devices.pop(each.row.device, None)
            self._progress(self.kept[each.notification])

    def _GetDue(self, asked: base.GetDue) -> base.Due:
        waiting = [
            each
            for each in self.deliveries
            if each.state in ("queued", "retry") and self.kept[each.notification].state == "running"
        ]
        providers = {
            name: min(each.due for each in waiting if each.row.provider == name)
            for name in {each.row.provider for each in waiting}
        }
        times = [k.asked.send_at for k in self.kept.values() if k.state == "scheduled"]
        return base.Due(providers, min(times, default=0.0))

    def _ReleaseDue(self, asked: base.ReleaseDue) -> int:
        due = [
            kept
            for kept in self.kept.values()
            if kept.state == "scheduled" and kept.asked.send_at <= asked.now
        ]
        for kept in sorted(due, key=lambda kept: (kept.asked.send_at, kept.number)):
            self._release(kept, asked.now)
        return len(due)

    def _DeleteOld(self, asked: base.DeleteOld) -> int:
        old = [id for id in self.kept if self._is_over(id) and self._when(id) < asked.before]
        for id in old:
            del self.kept[id]
        return len(old)

    def _is_over(self, id: str) -> bool:
        row = self._row(id)
        return row.state in ("done", "cancelled") and not row.pending

    def _when(self, id: str) -> float:
        return max(self.kept[id].asked.at, self.kept[id].at)

    # The inbox

    def _Inbox(self, asked: base.Inbox) -> list[base.InboxRow]:
        rows = []
        for kept in sorted(self.kept.values(), key=lambda kept: kept.seq):
            if kept.seq and asked.user in kept.recipients:
                marks = self.marks.get((asked.user, kept.asked.id), {})
                row = base.InboxRow(
                    kept.seq, kept.asked.id, kept.asked.content, kept.at,
                    marks.get("read", 0.0), marks.get("archived", 0.0),
                )  # fmt: skip
                taste = choosy(self.preferences.get(asked.user, b"{}"), asked.channel)
                wanted = taste is None or taste.wants(subject_of(row.content))
                if wanted and bool(row.archived) == asked.archived:
                    rows.append(row)
        if asked.after is not None:
            return [row for row in rows if row.seq > asked.after][: asked.limit]
        return rows[::-1][: asked.limit]

    def _MarkInbox(self, asked: base.MarkInbox) -> None:
        for id in asked.ids:
            self.marks.setdefault((asked.user, id), {})[asked.what] = asked.at
        self.say(base.Marked(asked.user, asked.what, asked.ids))


def _batched(items: list[str], size: int) -> list[tuple[str, ...]]:
    iterator = iter(items)
    return list(iter(lambda: tuple(itertools.islice(iterator, size)), ()))
