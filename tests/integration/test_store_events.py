"""Events of the store: in order, none twice, none left out, whoever listens how slowly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hocket.store.base import (
    CancelNotification,
    Event,
    JoinTopic,
    Marked,
    MarkInbox,
    Progress,
    RegisterDevice,
    Released,
    ReleaseDue,
    SeeUsers,
    Store,
)
from hocket.store.sqlite import feeds
from hocket.store.sqlite.events import USERS
from tests.contract.stores import (
    Opened,
    Process,
    accept,
    claim,
    client,
    local,
    served,
    serving,
    settle,
)
from tests.support import asynchronous

stores = pytest.mark.parametrize("opened", [local, served])


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


async def take_released(events: AsyncIterator[Event], count: int) -> list[Released]:
    found: list[Released] = []
    while len(found) < count:
        if isinstance(event := await anext(events), Released):
            found.append(event)
    return found


def ids(events: list[Released]) -> list[str]:
    return [event.id for event in events]


@stores
@asynchronous
async def test_released_then_marked_then_progress(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(RegisterDevice("ada", "fcm", "t", 1.0))
        await store.do(accept("before"))
        events = store.events(after=1)
        await store.do(accept("n"))
        told = await anext(events)
        assert isinstance(told, Released)
        assert (told.seq, told.id, told.everybody, told.last) == (2, "n", True, True)
        await store.do(MarkInbox("ada", "read", ("n",), 1.0))
        while not isinstance(told := await anext(events), Marked):
            assert isinstance(told, Progress)
        assert told == Marked("ada", "read", ("n",))
        await settle(store, await claim(store), "delivered")
        found = await take(events, 2)
        assert {event.id for event in found if isinstance(event, Progress)} == {"before", "n"}
        assert {event.state for event in found if isinstance(event, Progress)} == {"done"}


@stores
@asynchronous
async def test_from_now_on_and_after(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(5):
            await store.do(accept(f"n{number}", "ada"))
        everything = await take_released(store.events(after=0), 5)
        assert ids(everything) == [f"n{number}" for number in range(5)]
        some = store.events(after=3)
        assert ids(await take_released(some, 2)) == ["n3", "n4"]
        await store.do(accept("n5", "ada"))
        assert ids(await take_released(some, 1)) == ["n5"]


@stores
@asynchronous
async def test_whom_a_release_names(opened: Opened, tmp_path: Path) -> None:
    count = USERS * 2 + 1
    names = sorted(f"u{number}" for number in range(count))
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(JoinTopic("news", "ada"))
        await store.do(accept("nobody", topics=("none",)))
        await store.do(accept("named", *names))
        await store.do(accept("both", "bob", topics=("news",)))
        await store.do(accept("all", "ada", "unseen", everybody=True))
        found = await take_released(store.events(after=0), 7)
        assert [(event.id, event.everybody, len(event.users), event.last) for event in found] == [
            ("nobody", False, 0, True),
            ("named", False, USERS, False),
            ("named", False, USERS, False),
            ("named", False, 1, True),
            ("both", False, 2, True),
            ("all", True, 0, False),
            ("all", False, 1, True),
        ]
        assert [user for event in found[1:4] for user in event.users] == names
        assert found[-1].users == ("unseen",)


@stores
@asynchronous
async def test_a_scheduled_one_comes_when_it_is_released(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        events = store.events(after=0)
        await store.do(accept("late", send_at=150.0))
        await store.do(accept("never", send_at=150.0))
        await store.do(CancelNotification("never", 1.0))
        await store.do(accept("soon"))
        await store.do(ReleaseDue(200.0))
        await store.do(accept("last"))
        found = await take_released(events, 3)
        assert [(event.seq, event.id) for event in found] == [(1, "soon"), (2, "late"), (3, "last")]


@asynchronous
async def test_every_listener_gets_everything_over_restarts(tmp_path: Path) -> None:
    async def listen(store: Store, count: int) -> list[str]:
        return ids(await take_released(store.events(after=0), count))

    process = Process(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(client(tmp_path)) for _ in range(4)]
        writer = await stack.enter_async_context(client(tmp_path))
        tasks = [asyncio.create_task(listen(each, 60)) for each in listeners]
        for number in range(60):
            await writer.do(accept(f"n{number}", "ada"))
            if number % 20 == 10:
                await asyncio.to_thread(process.kill)
                process = await asyncio.to_thread(Process, tmp_path)
        for heard in await asyncio.gather(*tasks):
            assert heard == [f"n{number}" for number in range(60)]
    process.kill()


@asynchronous
async def test_a_release_that_was_half_told_is_not_told_twice(tmp_path: Path) -> None:
    names = sorted(f"{number:05} {'x' * 500}" for number in range(USERS * 6))  # 15 MB
    process = Process(tmp_path)
    async with client(tmp_path) as store:
        await store.do(accept("large", *names))
        await store.do(accept("small", "ada"))
        events = store.events(after=0)
        found = await take_released(events, 1)
        await asyncio.to_thread(process.kill)
        process = await asyncio.to_thread(Process, tmp_path)
        found += await take_released(events, 6)
    process.kill()
    assert [user for event in found[:-1] for user in event.users] == names
    assert [event.last for event in found] == [False] * 5 + [True, True]
    assert found[-1].id == "small"


@asynchronous
async def test_one_who_is_slow_costs_no_memory_and_misses_nothing(tmp_path: Path) -> None:
    content = b'{"title":"' + b"x" * 100_000 + b'"}'
    async with serving(tmp_path), client(tmp_path) as store, client(tmp_path) as slow:
        events = slow.events(after=0)
        await anext_after(store, events, content)
        for number in range(200):  # 20 MB
            await store.do(accept(f"n{number}", "ada", content=content))
        assert ids(await take_released(events, 200)) == [f"n{number}" for number in range(200)]


async def anext_after(store: Store, events: AsyncIterator[Event], content: bytes) -> None:
    """Be sure that somebody listens."""
    await store.do(accept("first", "ada", content=content))
    assert ids(await take_released(events, 1)) == ["first"]


@asynchronous
async def test_one_for_whom_too_much_waits_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MOST_WAITING", 10)
    told: list[Event] = []
    gave_up: list[bool] = []
    async with local(tmp_path) as store:
        ledger = store._group.ledger  # type: ignore[attr-defined]
        feed = feeds.Feed(ledger, told.append, lambda: False, lambda: gave_up.append(True), 0)
        for _ in range(11):
            feed.add(Marked("ada", "read", ()))
            feed.go_on()
    assert told == []
    assert gave_up == [True]
