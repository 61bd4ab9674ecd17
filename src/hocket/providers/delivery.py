"""Delivery: every provider's deliveries, and the release of what is scheduled. One process of an
instance does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from hocket.notify.retry import ATTEMPTS
from hocket.providers.base import Failed, Limits, Outcome, Provider, Push
from hocket.providers.composing import Composer
from hocket.providers.deliverer import Clocks, Deliverer
from hocket.store.base import Claim, GetDue, Progress, Released, ReleaseDue, Store, StoreError

log = logging.getLogger("hocket")

LOOK: Final = 0.5  # seconds between two looks at what is scheduled


class Absent:
    """Stands for a provider that is not there: its devices' deliveries fail and say so."""

    limits = Limits(concurrency=10)

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, token: str) -> str:
        raise ValueError(f"there is no provider {self.name!r}")

    async def send(self, push: Push) -> Outcome:
        return Failed(f"there is no provider {self.name!r}: is it configured?")

    async def close(self) -> None:
        """Nothing is open."""


class Delivery:
    """Runs them all.

    Args:
        providers: each by its own name.
        store: where the deliveries are.
        composer: makes pushes of them.
        clocks: see there.
        attempts: tries after which a delivery has failed for good.
        told: gets every Progress.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        store: Store,
        composer: Composer,
        clocks: Clocks,
        attempts: int = ATTEMPTS,
        told: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._store = store
        self._composer = composer
        self._clocks = clocks
        self._attempts = attempts
        self._told = told
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, int] = {}
        self._lag = 0.0
        self.deliverers: dict[str, Deliverer] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self._providers = list(providers)
        self._ending = asyncio.Event()

    # What metrics ask

    def take_lag(self) -> float:
        """Seconds that a scheduled notification was late at most, since this was last asked."""
        lag, self._lag = self._lag, 0.0
        return lag

    @property
    def waiting(self) -> int:
        """Deliveries that are not settled."""
        return sum(self._waiting.values())

    @property
    def in_hand(self) -> dict[str, float]:
        """Deliveries that are claimed, by provider."""
        return {name: each.in_hand for name, each in self.deliverers.items()}

    @property
    def paused(self) -> dict[str, float]:
        """1 or 0, by provider."""
        return {name: float(each.paused) for name, each in self.deliverers.items()}

    # Life

    async def run(self) -> None:
        """Until `end`; what is on its way then is finished."""
        for provider in self._providers:
            self._start(provider)
        others = [asyncio.create_task(self._follow()), asyncio.create_task(self._release_all())]
        await self._ending.wait()
        for deliverer in self.deliverers.values():
            deliverer.end()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, *self._tasks.values(), return_exceptions=True)

    def end(self) -> None:
        """Finish."""
        self._ending.set()

    def _start(self, provider: Provider) -> None:
        deliverer = Deliverer(
            provider, self._store, self._composer, self._clocks, self.counts, self._attempts
        )
        self.deliverers[provider.name] = deliverer
        self._tasks[provider.name] = task = asyncio.create_task(deliverer.run())
        task.add_done_callback(_report)

    async def _follow(self) -> None:
        """What happens wakes whoever it concerns."""
        async for event in self._store.events():
            if isinstance(event, Released):
                for deliverer in self.deliverers.values():
                    deliverer.wake()
            elif isinstance(event, Progress):
                self._note(event)
                self._told(event)

    def _note(self, event: Progress) -> None:
        if event.pending and event.state != "cancelled":
            self._waiting[event.id] = event.pending
        else:
            self._waiting.pop(event.id, None)

    # What is scheduled

    async def _release_all(self) -> None:
        while not self._ending.is_set():
            try:
                await self._release()
            except StoreError as error:
                log.warning("scheduled notifications wait for the store: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._ending.wait()

    async def _release(self) -> None:
        """All that is due: the store takes a few at a time."""
        while not self._ending.is_set():
            now = self._clocks.wall()
            due = await self._store.do(GetDue(now))
            self._start_absent(due.providers)
            if not 0 < due.release <= now:
                break
            if await self._store.do(ReleaseDue(now)):
                self._lag = max(self._lag, self._clocks.wall() - due.release)
        if not self.deliverers:
            # Claims are what makes deliveries, if only to find that there are none.
            now = self._clocks.wall()
            await self._store.do(Claim("", 1, now, now))

    def _start_absent(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.deliverers:
                log.error("devices have the provider %r, which there is not", name)
                self._start(Absent(name))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("internal error in a provider's deliveries", exc_info=error)
