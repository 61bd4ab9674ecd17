"""Coroutines that start at once, as tasks: the real Starter on a real loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hocket.hub.starter import TaskStarter, start
from tests.unit.hub.fakes import turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def in_loop(test: Callable[[TaskStarter], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a starter; at its end no task of it may be left."""

    async def main() -> None:
        starter = TaskStarter(asyncio.get_running_loop())
        await test(starter)
        starter.close()
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def spares(starter: TaskStarter) -> list[int]:
    return [id(spare.task) for spare in starter._spares]


async def name_task(seen: list[asyncio.Task[Any] | None]) -> None:
    seen.append(asyncio.current_task())


def test_the_first_step_runs_at_once_as_a_task() -> None:
    async def test(starter: TaskStarter) -> None:
        seen: list[asyncio.Task[Any] | None] = []
        assert start(starter, name_task(seen)) is None
        assert seen[0] is not None
        assert seen[0] is not asyncio.current_task()

    in_loop(test)


def test_who_calls_is_the_current_task_again() -> None:
    async def test(starter: TaskStarter) -> None:
        before = asyncio.current_task()
        start(starter, name_task([]))
        start(starter, asyncio.sleep(0))
        assert asyncio.current_task() is before

    in_loop(test)


async def look_at_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_one_task_serves_many_that_do_not_wait() -> None:
    async def test(starter: TaskStarter) -> None:
        start(starter, look_at_task())
        first = spares(starter)
        assert len(first) == 1
        for _ in range(3):
            for _ in range(100):
                start(starter, look_at_task())
            assert spares(starter) == first
            await turns(3)
        assert len(asyncio.all_tasks()) == 2

    in_loop(test)


@pytest.mark.parametrize("settled", [False, True], ids=["a new spare", "a settled spare"])
def test_what_waits_keeps_its_task_and_its_context(settled: bool) -> None:
    async def test(starter: TaskStarter) -> None:
        if settled:
            await turns(3)
        seen: list[Any] = []
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handler() -> None:
            variable.set("mine")
            seen.append(asyncio.current_task())
            seen.append(await gate)
            seen.append(asyncio.current_task())
            seen.append(variable.get())

        task = start(starter, handler())
        start(starter, name_task([]))
        gate.set_result("opened")
        assert task is not None
        await task
        assert seen == [task, "opened", task, "mine"]
        assert variable.get() == "unset"

    in_loop(test)


def test_a_context_is_nobody_elses() -> None:
    async def test(starter: TaskStarter) -> None:
        seen = []

        async def sets() -> None:
            seen.append(variable.get())
            variable.set("left behind")

        for _ in range(3):
            start(starter, sets())
        assert seen == ["unset"] * 3

    in_loop(test)


def test_a_task_that_somebody_holds_on_to_is_not_used_again_and_ends() -> None:
    async def test(starter: TaskStarter) -> None:
        seen: list[asyncio.Task[Any] | None] = []
        start(starter, name_task(seen))
        start(starter, name_task(seen))
        assert seen[0] is not seen[1]
        await turns(3)
        assert all(task is not None and task.done() for task in seen)

    in_loop(test)


def test_so_is_one_that_has_a_callback_for_its_end_which_is_called() -> None:
    async def test(starter: TaskStarter) -> None:
        ended: list[object] = []

        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.add_done_callback(lambda task: ended.append(task.result()))

        start(starter, handler())
        await turns(3)
        assert ended == [None]

    in_loop(test)


def test_so_is_one_that_cancelled_itself() -> None:
    async def test(starter: TaskStarter) -> None:
        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        start(starter, handler())
        seen = []

        async def waits() -> None:
            await asyncio.sleep(0)
            seen.append("went on")

        task = start(starter, waits())
        assert task is not None
        await task
        assert seen == ["went on"]

    in_loop(test)


@pytest.mark.parametrize("when", ["at once", "later"])
def test_cancelling_reaches_what_waits(when: str) -> None:
    async def test(starter: TaskStarter) -> None:
        seen = []

        async def handler() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        task = start(starter, handler())
        assert task is not None
        if when == "later":
            await turns(3)
        task.cancel()
        await asyncio.wait([task])
        assert (seen, task.cancelled()) == (["cancelled"], True)

    in_loop(test)


def test_timeouts_and_task_groups_work_from_the_first_step_on() -> None:
    async def test(starter: TaskStarter) -> None:
        seen: list[Any] = []

        async def handler() -> None:
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(60)
            except TimeoutError:
                seen.append("timeout")
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, "child"))
            seen.append(child.result())

        task = start(starter, handler())
        assert task is not None
        await task
        assert seen == ["timeout", "child"]

    in_loop(test)


def test_a_start_inside_a_start() -> None:
    async def test(starter: TaskStarter) -> None:
        seen: list[Any] = []

        async def outer() -> None:
            mine = asyncio.current_task()
            start(starter, name_task(seen))
            assert asyncio.current_task() is mine
            await asyncio.sleep(0)
            seen.append(mine)

        task = start(starter, outer())
        assert task is not None
        await task
        assert seen[0] not in (None, task)
        assert seen[1] is task

    in_loop(test)


def test_errors_are_raised_where_they_happen() -> None:
    async def test(starter: TaskStarter) -> None:
        async def fails(later: bool) -> None:
            if later:
                await asyncio.sleep(0)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            start(starter, fails(False))
        task = start(starter, fails(True))
        assert task is not None
        with pytest.raises(ValueError, match="no"):
            await task

    in_loop(test)


def test_a_spare_that_somebody_cancels_is_used_no_more() -> None:
    async def test(starter: TaskStarter) -> None:
        start(starter, look_at_task())
        await turns(3)
        before = asyncio.current_task()
        for task in asyncio.all_tasks() - {before}:
            task.cancel()
        start(starter, look_for_cancelled())
        start(starter, look_at_task())
        await turns(3)
        assert len(spares(starter)) == 1
        for task in asyncio.all_tasks() - {before}:
            task.cancel()
        await turns(3)
        assert spares(starter) == []
        seen: list[asyncio.Task[Any] | None] = []
        start(starter, name_task(seen))
        waits = start(starter, asyncio.sleep(0))
        assert waits is not None
        assert await waits is None
        assert seen[0] is not None

    async def look_for_cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 1

    in_loop(test)


def test_one_that_cancels_itself_does_not_wait_for_its_end() -> None:
    async def test(starter: TaskStarter) -> None:
        async def cancels() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        start(starter, look_at_task())
        await turns(3)
        start(starter, cancels())
        assert spares(starter) == []

    in_loop(test)


def test_what_has_waited_leaves_nothing_to_the_collector() -> None:
    async def test(starter: TaskStarter) -> None:
        await turns(3)
        gc.collect()
        for _ in range(10):
            task = start(starter, asyncio.sleep(0))
            assert task is not None
            await task
            del task
        await turns(3)
        assert gc.collect() == 0

    in_loop(test)
