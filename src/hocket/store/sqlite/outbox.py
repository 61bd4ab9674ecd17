"""What the delivery process asks: deliveries claimed in batches, and how they went.

Leases are a table in memory (TEMP), inside the same transactions: they cost no disk, and a store
that starts has none, whatever became of the one before.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

import msgspec

from hocket.store.base import Claim, Claimed, Due, GetDue, Settle, Settled
from hocket.store.sqlite import devices, expanding, settling
from hocket.store.sqlite.notifications import next_release
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import ROOM, Work, carries, page

_ROUNDS: Final = 4  # batches of deliveries that one claim makes at most
_ERROR: Final = 500  # characters kept of an error
_ENDS: Final = frozenset({"delivered", "failed", "dead", "expired", "suppressed", "retry"})
_NO_ATTEMPT: Final = frozenset({"expired", "suppressed"})

_SQL = load("outbox")


def make_leases(db: sqlite3.Connection) -> None:
    db.execute(_SQL.leases)
    db.execute(_SQL.leases_of_leader)


def void_leases(work: Work, owner: int) -> None:
    """Those of a connection that has gone."""
    work.run(_SQL.void, owner)


@carries(Claim)
def claim(work: Work, asked: Claim) -> list[Claimed]:
    limit = page(asked.limit)
    work.run(_SQL.end_leases, asked.now)
    claimed = _lease(work, asked, limit, ROOM)
    for _ in range(_ROUNDS):
        room = ROOM - sum(map(_size, claimed))
        if len(claimed) == limit or room <= 0 or not expanding.expand_some(work):
            break
        claimed += _lease(work, asked, limit - len(claimed), room)
    return claimed


def _lease(work: Work, asked: Claim, limit: int, room: int) -> list[Claimed]:
    """Take up to `limit` due deliveries, until they have `room` bytes."""
    claimed: list[Claimed] = []
    gone: list[tuple[int, int]] = []  # their device went while somebody had them in hand
    merged: set[int] = set()
    leases: list[tuple[int, int, int, float]] = []
    for *row, digest, notification in work.db.execute(_SQL.due, (asked.provider, asked.now, limit)):
        if row[8] is None:
            gone.append((row[0], notification))
            continue
        if row[0] in merged:
            continue
        ids = [row[0]]
        if digest is not None:
            found = work.rows(_SQL.same_digest, row[7], row[6], digest, asked.now)
            ids = [id for id, _ in found]
            merged.update(ids)
            row = list(work.one(_SQL.one, ids[0]))
            row[3] = max(expires_at for _, expires_at in found)  # as long as it is for any of them
        leases += [(id, ids[0], work.owner, asked.until) for id in ids]
        claimed.append(Claimed(*(*row, tuple(ids[1:]))))
        room -= _size(claimed[-1])
        if room <= 0:
            break
    work.db.executemany(_SQL.lease, leases)
    for each in gone:
        _fail(work, *each)
    return claimed


def _size(claimed: Claimed) -> int:
    """Bytes on the wire, of what may be long."""
    said = len(claimed.content) + len(claimed.preferences) + len(claimed.token)
    return said + 9 * len(claimed.merged)


def _fail(work: Work, id: int, notification: int) -> None:
    work.run(_SQL.settle, "failed", None, "the device was removed", 0, id)
    settling.count(work, {(notification, "failed"): 1})


@carries(Settle)
def settle(work: Work, asked: Settle) -> None:
    results = {result.id: result for result in asked.results}
    if wrong := {result.state for result in results.values()} - _ENDS:
        raise ValueError(f"a delivery cannot be settled as {wrong.pop()!r}")
    if not all(isfinite(each.at) and isfinite(each.dead_since) for each in asked.results):
        raise ValueError("a delivery cannot be settled at a time that is none")
    ids = msgspec.json.encode(list(results)).decode()
    counts: Counter[tuple[int, str]] = Counter()
    updates: list[tuple[Any, ...]] = []
    dead: dict[str, float] = {}
    for leader, id, notification, device, cancelled, there in work.rows(
        _SQL.in_hand, ids, work.owner
    ):
        result = results[leader]
        state, due = _end(result, cancelled, there)
        waited = result.state == "retry" and not result.error  # for a better time (quiet hours)
        tried = int(not waited and result.state not in _NO_ATTEMPT)
        updates.append((state, due, None if waited else result.error[:_ERROR], tried, id))
        if due is None:
            counts[notification, state] += 1
        if state == "dead":
            dead[device] = result.dead_since
    work.db.executemany(_SQL.settle, updates)
    work.db.executemany(_SQL.give_back, [(update[-1],) for update in updates])
    settling.count(work, counts)
    for device, since in dead.items():
        devices.prune(work, device, since)


def _end(result: Settled, cancelled: bool, there: bool) -> tuple[str, float | None]:
    """The state, and when it is due again."""
    if result.state != "retry":
        return result.state, None
    if cancelled:
        return "cancelled", None
    return ("retry", result.at) if there else ("failed", None)


@carries(GetDue, reads=True)
def get_due(work: Work, asked: GetDue) -> Due:
    due = dict(_due(work))
    if expanding.is_unfinished(work):
        due |= dict.fromkeys(devices.providers(work), asked.now)
    return Due(due, next_release(work))


def _due(work: Work) -> Iterator[tuple[str, float]]:
    name = work.value(_SQL.next_provider, "")
    while name is not None:
        at = work.value(_SQL.next_due, name)
        if at is not None:
            yield name, at
        name = work.value(_SQL.next_provider, name)
