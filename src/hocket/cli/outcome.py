"""What became of a notification, provider by provider, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hocket.store.base import Counted, Deliveries

if TYPE_CHECKING:
    from hocket.notify.jobs import Status
    from hocket.store.base import Store

PAGE: Final = 5_000  # deliveries that are asked for at a time
# What the counts of a notification call the states of its deliveries.
NAMES: Final = {"queued": "pending", "leased": "pending", "retry": "pending", "dead": "failed"}
ORDER: Final = ("delivered", "failed", "expired", "cancelled", "suppressed", "pending")


def show_counted(counted: Counted, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"recipients": counted.recipients, "devices": counted.devices}))
        return
    print(f"for {_many(counted.recipients, 'user')}; nothing was stored")
    _table({provider: f"{_many(count, 'device')}" for provider, count in counted.devices.items()})


async def show(store: Store, status: Status, seconds: float, as_json: bool) -> None:
    """Print how it went."""
    by_provider = await tally(store, status.id)
    if as_json:
        print(json.dumps(_as_data(status, by_provider, seconds)))
        return
    print(f"{status.id}: {status.state}, for {_many(status.recipients, 'user')}")
    _table({provider: _counts(counts) for provider, counts in by_provider.items()})


async def tally(store: Store, id: str) -> dict[str, Counter[str]]:
    """Deliveries by provider and how they stand, read page by page."""
    found: dict[str, Counter[str]] = {}
    after = 0
    while rows := await store.do(Deliveries(id, after, PAGE)):
        for row in rows:
            found.setdefault(row.provider, Counter())[NAMES.get(row.state, row.state)] += 1
        after = rows[-1].id
    return dict(sorted(found.items()))


def _as_data(status: Status, tallies: dict[str, Counter[str]], seconds: float) -> dict[str, Any]:
    return {
        "id": status.id,
        "state": status.state,
        "recipients": status.recipients,
        "deliveries": {name: getattr(status, name) for name in ORDER},
        "providers": tallies,
        "seconds": round(seconds, 3),
    }


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in ORDER if counts[name])


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _table(rows: dict[str, str]) -> None:
    width = max(map(len, rows), default=0)
    for name, words in rows.items():
        print(f"  {name:{width}}  {words}")
