"""What tests of the hub need besides the World: handlers that wait, a real loop with a time of its
own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from hocket.hub.engine import Engine, Limits, Loop
from hocket.hub.fanout import Pace
from hocket.hub.handlers import Handlers
from hocket.hub.hub import Hub
from hocket.hub.starter import TaskStarter
from tests.unit.hub.world import FakeLoop, FakeTransport, World


class Gate:
    """What a handler on a FakeLoop awaits, until the test opens it, perhaps with an error."""

    def __init__(self) -> None:
        self._opened = False
        self._error: BaseException | None = None

    def open(self, error: BaseException | None = None) -> None:
        self._opened, self._error = True, error

    def __await__(self) -> Generator[None, None, None]:
        while not self._opened:
            yield
        if self._error is not None:
            raise self._error


def handlers(**functions: Callable[..., Any]) -> Handlers:
    registered = Handlers()
    for name, function in functions.items():
        registered.add(name, function)
    return registered


class TimedLoop(asyncio.SelectorEventLoop):
    """A real asyncio loop whose time the test sets: `now`."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now


class AsyncLoop(FakeLoop):
    """A FakeLoop that stands on the running asyncio loop, for handlers and calls that need one."""

    def __init__(self) -> None:
        super().__init__()
        self.asyncio = asyncio.get_running_loop()
        self.spawned: set[asyncio.Task[Any]] = set()

    def lend(self) -> Loop:
        ids = itertools.count()

        def spawn(coroutine: Coroutine[Any, Any, Any]) -> None:
            task = self.asyncio.create_task(coroutine)
            self.spawned.add(task)
            task.add_done_callback(self.spawned.discard)

        def choose_pace() -> Pace:
            return Pace(lambda fd, data: self.write(fd, data))

        return Loop(
            clock=self.asyncio.time,
            wall_clock=self.asyncio.time,
            defer=self.asyncio.call_soon,
            defer_from_thread=self.asyncio.call_soon_threadsafe,
            call_later=self.asyncio.call_later,
            spawn=spawn,
            starter=TaskStarter(self.asyncio),
            current_task=asyncio.current_task,
            choose_pace=choose_pace,
            pause=self.paused.append,
            new_id=lambda: f"id-{next(ids)}",
        )


def run_timed(test: Callable[[TimedLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a test whose time stands still: what waits for ever is told by the turns it takes."""
    loop = TimedLoop()

    async def bounded() -> None:
        task = asyncio.create_task(test(loop))
        for _ in range(10_000):
            if task.done():
                break
            await asyncio.sleep(0)
        else:
            task.cancel()
        await task

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(bounded())


class AsyncWorld(World):
    """A World on the running asyncio loop."""

    def __init__(self, registered: Handlers | None = None, **limits: Any) -> None:
        self.loop = AsyncLoop()
        self.engine = Engine(Limits(**limits), self.loop.lend())
        self.transport = FakeTransport(self.engine, self.loop)
        self.errors = []
        self.handlers = registered or Handlers()
        self.hub = Hub(self.engine, {"/": self.handlers}, {}, self.on_error)


async def turns(count: int = 20) -> None:
    """Let a real loop have some turns: more than anything in these tests needs."""
    for _ in range(count):
        await asyncio.sleep(0)


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What an awaitable gives, or the error that it raises."""
    try:
        return await awaitable
    except Exception as error:
        return error
