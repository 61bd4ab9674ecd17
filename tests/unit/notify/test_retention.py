"""How long what is over is kept, by a clock that the test sets."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hocket.errors import UsageError
from hocket.notify import retention
from hocket.notify.retention import DAY, Retention
from hocket.settings import load
from hocket.store.base import Accept, AudienceRow, DeleteOld
from tests.memory_store import MemoryStore
from tests.support import asynchronous, eventually


class Clock:
    now = 1_000 * DAY

    def __call__(self) -> float:
        return self.now


def accept(id: str, at: float, send_at: float = 0.0) -> Accept:
    audience = AudienceRow(users=("ada",))
    return Accept(id, "test", "", b"", audience, b"{}", at, send_at, at + DAY, id)


@asynchronous
async def test_what_is_over_is_kept_so_many_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE", 0.0)
    store, clock = MemoryStore(), Clock()
    await store.do(accept("n", clock.now))
    await store.do(accept("later", clock.now, clock.now + 400 * DAY))
    keeping = Retention(store, clock, days=90.0)
    clock.now += 90 * DAY
    assert await keeping.delete() == 0
    clock.now += 1.0
    assert await keeping.delete() == 1
    assert set(store.kept) == {"later"}


@asynchronous
async def test_zero_is_for_ever() -> None:
    store, clock = MemoryStore(), Clock()
    await Retention(store, clock, days=0.0).delete()
    assert store.asked == [DeleteOld(clock.now, 0.0)]


@asynchronous
async def test_a_store_that_is_not_there_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("FIRST", "EVERY", "PAUSE"):
        monkeypatch.setattr(retention, name, 0.0)
    store = MemoryStore(down=True)
    running = asyncio.create_task(Retention(store, Clock(), 1.0).run())
    with caplog.at_level(logging.WARNING):
        await eventually(lambda: "old notifications are deleted later" in caplog.text)
    store.down = False
    await eventually(lambda: bool(store.asked))
    running.cancel()


@pytest.mark.parametrize("days", [-1, 0.5, 40_000, "many"])
def test_what_is_no_time_to_keep(days: object) -> None:
    with pytest.raises(UsageError, match="retention"):
        load({"retention": days}, environ={}, file=None)
