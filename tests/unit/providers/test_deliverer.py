"""A deliverer whose store and provider do what they should not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from hocket.notify import retry
from hocket.providers import deliverer
from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push, Retry
from hocket.providers.composing import Composer
from hocket.providers.deliverer import Clocks, Deliverer
from hocket.store.base import Claim, Operation, RegisterDevice, Settle
from tests.contract.stores import accept
from tests.memory_store import SETTLED, MemoryStore
from tests.support import asynchronous, eventually

T = TypeVar("T")


class Pager:
    """Answers what `act` says."""

    name = "pager"
    limits = Limits(concurrency=10, timeout=5.0)

    def __init__(self, act: Callable[[Push], Any] = lambda push: Delivered()) -> None:
        self._act = act
        self.tokens: list[str] = []

    def check(self, token: str) -> str:
        return token

    async def send(self, push: Push) -> Outcome:
        self.tokens.append(push.token)
        outcome: Outcome = self._act(push)
        return outcome

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def delivering(store: MemoryStore, pager: Pager) -> AsyncIterator[Deliverer]:
    clocks = Clocks(time.time, time.monotonic, lambda: 0.0)
    made = Deliverer(pager, store, Composer(), clocks, Counter())
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.end()
        await running


async def told(store: MemoryStore, *tokens: str, **fields: Any) -> None:
    """A notification to these devices."""
    for token in tokens:
        await store.do(RegisterDevice("ada", "pager", token, 50.0))
    await store.do(accept("n", "ada", expires_at=time.time() + 1_000, **fields))


class Brittle(MemoryStore):
    """Its answers have room for three."""

    async def do(self, operation: Operation[T]) -> T:
        if isinstance(operation, Claim) and operation.limit > 3:
            raise ValueError("more than 33554432 bytes; take a smaller limit")
        return await super().do(operation)


@asynchronous
async def test_what_cannot_be_claimed_together_is_claimed_in_parts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deliverer, "AGAIN", 0.0)
    store, pager = Brittle(), Pager()
    tokens = [f"t{number}" for number in range(20)]
    await told(store, *tokens)
    async with delivering(store, pager):
        await eventually(lambda: len(pager.tokens) == 20)
    assert sorted(pager.tokens) == sorted(tokens)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["provider pager: deliveries cannot be claimed"]  # and not each time


@asynchronous
async def test_a_push_that_was_not_sent_is_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "SOON", 0.001)
    left = ["left"] * 40

    def leave_alone(push: Push) -> Outcome:
        return Retry(left.pop(), 0.001, tried=False) if left else Delivered()

    store = MemoryStore()
    await told(store, "t")
    async with delivering(store, Pager(leave_alone)):
        await eventually(lambda: store.deliveries[0].state == "delivered")
    assert store.deliveries[0].attempts == 1


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it does not say")


WRONG = {
    "Expected `float | null`, got `str`": Retry("busy", after="30"),  # type: ignore[arg-type]
    "has a number that is none": Retry("busy", after=float("nan")),
    "a number that is none": Dead("gone", since=float("inf")),
    "Expected `float`, got `null`": Dead("gone", since=None),  # type: ignore[arg-type]
    "Expected `str`, got `int`": Retry(503),  # type: ignore[arg-type]
    "Expected `str`, got `null`": Failed(None),  # type: ignore[arg-type]
    "?busy": Retry("\ud800busy"),
    "FileNotFoundError: ?": FileNotFoundError("\udcff"),
    "internal error": Mute(),
}


@pytest.mark.parametrize("says", WRONG)
@asynchronous
async def test_no_answer_stops_a_provider(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "SOON", 0.001)
    monkeypatch.setattr(retry, "FIRST", 0.001)
    monkeypatch.setattr(Pager, "limits", Limits(concurrency=1))
    errors: list[str] = []

    def act(push: Push) -> Any:
        wrong = WRONG[says]
        if push.token == "good" or pager.tokens.count(push.token) > 1:
            return Delivered()
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    class Noting(MemoryStore):
        async def do(self, operation: Operation[T]) -> T:
            if isinstance(operation, Settle):
                errors.extend(result.error for result in operation.results)
            return await super().do(operation)

    store, pager = Noting(), Pager(act)
    await told(store, "bad", "good")
    async with delivering(store, pager):
        await eventually(lambda: all(each.state in SETTLED for each in store.deliveries))
    ends = {each.token: each.state for each in store.deliveries}
    bad = "failed" if says == "internal error" else "delivered"
    assert ends == {"bad": bad, "good": "delivered"}
    assert says in errors[0]
    assert errors[0].isprintable()


@asynchronous
async def test_a_result_that_is_refused_holds_up_no_other() -> None:
    class Picky(MemoryStore):
        async def do(self, operation: Operation[T]) -> T:
            if isinstance(operation, Settle) and any(each.id == 1 for each in operation.results):
                raise ValueError("not this one")
            return await super().do(operation)

    store = Picky()
    await told(store, *[f"t{number}" for number in range(5)])
    pager = Pager()
    async with delivering(store, pager) as made:
        await eventually(lambda: len(pager.tokens) == 5 and not made.in_hand)
    assert [each.state for each in store.deliveries] == ["leased"] + ["delivered"] * 4


@asynchronous
async def test_pauses_grow_until_there_is_another_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a mail server's 421 is: nobody counts tries, so the pauses have to grow."""
    monkeypatch.setattr(retry, "PAUSE", 0.1)
    monkeypatch.setattr(Pager, "limits", Limits(concurrency=1))
    busy, asked = Retry("421", pause=True), Retry("429", 0.3, pause=True)
    answers = [busy, busy, asked, busy, Delivered(), busy, Delivered()]
    store = MemoryStore()
    await told(store, "a", "b")
    async with delivering(store, Pager(lambda push: answers.pop(0))):
        await eventually(lambda: all(each.state == "delivered" for each in store.deliveries))
    assert answers == []
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        *("provider pager: a pause of 0.1 s: 421", "provider pager: a pause of 0.2 s: 421"),
        *("provider pager: a pause of 0.3 s: 429", "provider pager: a pause of 0.4 s: 421"),
        "provider pager: a pause of 0.1 s: 421",
    ]
    assert [each.attempts for each in store.deliveries] == [1, 1]
