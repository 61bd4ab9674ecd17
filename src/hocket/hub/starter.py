"""Starts coroutines at once, each as a task of its own, without making a task for each.

A handler that never waits, which is most of them, needs a task only while it runs: so that
`asyncio.current_task`, `timeout` and `TaskGroup` work in it. `begin` runs the first step in the
name of a spare task, which waits for something to do. When the coroutine waits, the spare becomes
its task for good; when it has ended, the spare is as it was, and the next one has it.

HOT: 0.4 us of the 11 that an echo takes (benchmarks echo, 100 clients).

Source: "Extending asyncio" in Python's documentation, for `_enter_task` and `_leave_task`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, Protocol

Rest = Callable[[BaseException | None], Awaitable[Any]]

MOST: Final = 8  # spare tasks that are kept: a start inside a start takes another one


class Waiting:
    """A coroutine waits for `awaited`."""

    __slots__ = ("awaited",)

    def __init__(self, awaited: Any) -> None:
        self.awaited = awaited


class Starter(Protocol):
    """What starts coroutines."""

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run its first step, as a task; its result, or Waiting. Raises what it raises."""

    def go_on(self, rest: Rest) -> asyncio.Task[Any]:
        """What `begin` has just begun waits: the rest of its task is `rest(None)`, which first
        waits as it does; or `rest(error)`, when the task was cancelled at once. The caller holds on
        to the task.
        """


class Ended:
    """A coroutine has returned `result`."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result


_ENDED: Final = Ended(None)  # which most handlers return


class Spare:
    """A task that waits for something to do. `rest` is that.

    `run(step, coroutine)` runs the first step of a coroutine in the task's context, and gives what
    it waits for, or Ended.
    """

    __slots__ = ("context", "error", "park", "rest", "run", "spares", "step", "task")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
        spares: list[Spare],
    ) -> None:
        self.spares = spares
        self.context = context
        self.run = context.run
        self.step: Callable[[Any], Any] = _first_steps().send
        self.step(None)
        self.park = loop.create_future()
        self.rest: Rest | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[Any] = asyncio.Task(_Life(self), loop=loop, context=context)

    def unpark(self) -> None:
        """Go on, if it has not been told so."""
        if not self.park.done():
            self.park.set_result(None)

    async def live(self) -> None:
        if self.error is None:
            try:
                await self.park
            except BaseException as thrown:
                self.error = thrown
        try:
            if self.rest is not None:
                await self.rest(self.error)
            elif self.error is not None:
                raise self.error
        finally:
            if self in self.spares:  # somebody has cancelled all tasks there are
                self.spares.remove(self)
            del self.task, self.rest, self.error  # they know this, and need no collector so


@types.coroutine
def _first_steps() -> Generator[Any, Any, None]:
    """Takes one coroutine after the other, until one waits.

    HOT: `yield from` gets a result without the StopIteration that `send` would raise: 0.3 us
    (benchmarks echo).
    """
    result = None
    while True:
        result = yield from (yield _ENDED if result is None else Ended(result))


class _Life(Coroutine[Any, Any, None]):
    """What `Spare.live` is, but that it can be thrown into before it has begun, which would end any
    other coroutine: a task may be cancelled before its first turn, and what it is to go on with has
    begun.
    """

    __slots__ = ("_begun", "_live", "_spare")

    def __init__(self, spare: Spare) -> None:
        self._spare = spare
        self._live = spare.live()
        self._begun = False

    def send(self, value: Any) -> Any:
        self._begun = True
        return self._live.send(value)

    def throw(self, *error: Any) -> Any:
        if self._begun:
            return self._live.throw(*error)
        self._spare.error = error[0]
        return self.send(None)

    def close(self) -> None:
        self._live.close()

    def __await__(self) -> Any:
        return self


class TaskStarter:
    """The Starter on asyncio.

    Args:
        loop: whose tasks they are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = contextvars.copy_context()
        self._spares: list[Spare] = []
        self._begun: Spare | None = None
        self._references = 0  # to a task that nobody has kept hold of
        start(self, _nothing())

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop, spares = self._loop, self._spares
        spare = spares.pop() if spares else Spare(loop, self._context.copy(), spares)
        task, before = spare.task, None
        try:
            _enter_task(loop, task)
        except RuntimeError:  # a task is running: a start inside a start
            before = asyncio.current_task(loop)
            self._change(before, task)
        try:
            awaited = spare.run(spare.step, coroutine)
        except BaseException:
            self._retire(spare, 0)
            raise
        finally:
            if before is None:
                _leave_task(loop, task)
            else:
                self._change(task, before)
        if type(awaited) is not Ended:
            self._begun = spare
            return Waiting(awaited)
        # For the next one, if nobody has kept hold of the task, or changed anything about it or its
        # context.
        if (
            sys.getrefcount(task) == self._references
            and not task.cancelling()
            and not task._callbacks
            and spare.context == self._context
            and (before is None or len(spares) < MOST)
        ):
            spares.append(spare)
        else:
            self._retire(spare, sys.getrefcount(task))
        return awaited.result

    def _retire(self, spare: Spare, references: int) -> None:
        """It is not as it was, and ends. (The first one of all tells how one is.)"""
        if not self._references:
            self._references = references
        spare.unpark()

    def _change(self, before: asyncio.Task[Any] | None, after: asyncio.Task[Any]) -> None:
        """The current task is another one."""
        if before is not None:
            _leave_task(self._loop, before)
        _enter_task(self._loop, after)

    def go_on(self, rest: Rest) -> asyncio.Task[Any]:
        spare = self._begun
        assert spare is not None
        self._begun = None
        spare.rest = rest
        spare.unpark()
        return spare.task

    def close(self) -> None:
        """The spares end at the loop's next turn."""
        for spare in self._spares:
            spare.unpark()
        self._spares.clear()


async def _nothing() -> None:
    """What is known to keep hold of nothing."""


def start(starter: Starter, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
    """Start a coroutine; its task, for the caller to hold on to, if it waits."""
    result = starter.begin(coroutine)
    if type(result) is not Waiting:
        return None
    return starter.go_on(functools.partial(drive, coroutine, result.awaited))


def _step(resume: Callable[[Any], Any], value: Any) -> Any:
    return resume(value)


@types.coroutine
def drive(
    coroutine: Coroutine[Any, Any, Any],
    awaited: Any,
    error: BaseException | None = None,
    step: Callable[[Callable[[Any], Any], Any], Any] = _step,
) -> Generator[Any, Any, Any]:
    """What `await` does with a coroutine, from its first wait on; its result.

    Args:
        awaited: what it waits for.
        error: what is raised in it instead.
        step: calls its first argument with its second.
    """
    while True:
        resume: Callable[[Any], Any] = coroutine.throw
        if error is None:
            try:
                value = yield awaited
                resume = coroutine.send
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as thrown:
                value = thrown
        else:
            value, error = error, None
        try:
            awaited = step(resume, value)
        except StopIteration as stop:
            return stop.value
