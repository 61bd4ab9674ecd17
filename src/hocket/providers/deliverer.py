"""One provider's deliveries: claimed from the store in batches, sent, settled in batches.

What is in hand is bounded: about twice what may be on its way at a time. A push counts as sent once
the provider has answered, and as settled once the store has; whatever dies in between, the lease is
void at once and the push is sent again, under the same collapse key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from hocket.notify.pacing import Pacer
from hocket.notify.retry import ATTEMPTS, delay, pause, spread
from hocket.providers.base import Dead, Delivered, Failed, Outcome, Provider, Push, Retry, checked
from hocket.providers.composing import Composer
from hocket.store.base import Claim, Claimed, GetDue, Settle, Settled, Store, StoreError

log = logging.getLogger("hocket")

LEASE: Final = 900.0  # seconds after which what is in hand may be claimed by another
BATCH: Final = 500  # deliveries that are claimed or settled at a time
AHEAD: Final = 10.0  # seconds of a provider's rate that are claimed ahead
IDLE: Final = 5.0  # seconds after which the store is asked again without being told to
SOON: Final = 0.05  # seconds until it is asked again where it had nothing after all
AGAIN: Final = 0.2  # seconds until a store that is not there is asked again
SHORT: Final = 2.0  # seconds of a pause for which what is in hand is kept
FINISH: Final = 10.0  # seconds that pushes on their way have when the process ends
QUIET: Final = 10.0  # seconds between two lines in the log about a provider that raises
ERROR: Final = 200  # characters of an error that are kept


class Clocks(NamedTuple):
    """`wall`: seconds since 1970; `steady`: seconds that only go forward; `chance`: from 0 to 1."""

    wall: Callable[[], float]
    steady: Callable[[], float]
    chance: Callable[[], float]


class InHand(NamedTuple):
    """What is to be sent."""

    claimed: Claimed
    push: Push


class Deliverer:
    """Works for one provider.

    Args:
        provider: whose.
        store: where the deliveries are.
        composer: makes pushes of them.
        clocks: see there.
        counts: counts deliveries by provider and state.
        attempts: tries after which a delivery has failed for good.
    """

    def __init__(
        self,
        provider: Provider,
        store: Store,
        composer: Composer,
        clocks: Clocks,
        counts: Counter[tuple[str, str]],
        attempts: int = ATTEMPTS,
    ) -> None:
        self.provider = provider
        self._store = store
        self._composer = composer
        self._clocks = clocks
        self._counts = counts
        self._attempts = attempts
        self._limits = provider.limits
        self._pacer = Pacer(provider.limits.rate)
        self._queue: asyncio.Queue[InHand] = asyncio.Queue()
        self._in_hand: set[int] = set()
        self._results: list[Settled] = []
        self._batch = BATCH  # less after a claim that went wrong
        self._news = asyncio.Event()  # there may be something to claim
        self._room = asyncio.Event()  # something has left the queue
        self._done = asyncio.Event()  # there is something to settle
        self._pauses = 0  # in a row whose length was ours to choose
        self._ending = False
        self._quiet_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether the provider wants to be left alone (bool)."""
        return self._pacer.is_paused(self._clocks.steady())

    @property
    def in_hand(self) -> int:
        """Deliveries that are claimed and not settled."""
        return len(self._in_hand)

    def wake(self) -> None:
        """Something was released."""
        self._news.set()

    # Life

    async def run(self) -> None:
        """Until `end`."""
        senders = [asyncio.create_task(self._send_all()) for _ in range(self._limits.concurrency)]
        settler = asyncio.create_task(self._settle_all())
        try:
            await self._claim_all()
            await self._finish()
        finally:
            for task in (*senders, settler):
                task.cancel()
            await asyncio.gather(*senders, settler, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.provider.close()

    def end(self) -> None:
        """Claim nothing more; finish what is on its way."""
        self._ending = True
        self._news.set()
        self._room.set()

    async def _finish(self) -> None:
        while not self._queue.empty():  # their leases end with this process
            self._in_hand.discard(self._queue.get_nowait().claimed.id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH):
                while self._in_hand:
                    self._room.clear()
                    await self._room.wait()

    # Claiming

    async def _claim_all(self) -> None:
        while await self._until_room():
            self._news.clear()
            try:
                if not await self._claim():
                    await self._until_due()
            except StoreError as error:
                log.warning("deliveries wait for the store: %s", error)
                await asyncio.sleep(AGAIN)
            except Exception as error:  # one delivery that cannot be claimed must not stop all
                self._log("deliveries cannot be claimed", error)
                self._batch = max(1, self._batch // 2)
                await asyncio.sleep(AGAIN)

    async def _until_room(self) -> bool:
        """Until more may be in hand; False at the end."""
        while not self._ending:
            self._room.clear()
            left = self._pacer.paused_until - self._clocks.steady()
            if left <= 0 and self._in_hand_limit() - len(self._in_hand) > 0:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if left > 0 else None):
                    await self._room.wait()
        return False

    def _in_hand_limit(self) -> int:
        most = max(1, min(2 * self._limits.concurrency, BATCH * 4))
        rate = self._limits.rate
        return most if rate is None else max(1, min(most, round(rate * AHEAD)))

    async def _claim(self) -> bool:
        """Whether there was something."""
        now = self._clocks.wall()
        limit = min(self._batch, self._in_hand_limit() - len(self._in_hand))
        claimed = await self._store.do(Claim(self.provider.name, limit, now, now + LEASE))
        self._batch = min(2 * self._batch, BATCH)
        for each in claimed:
            if each.id not in self._in_hand:  # else the store has begun anew, and leased it again
                self._take(each, now)
        return bool(claimed)

    def _take(self, claimed: Claimed, now: float) -> None:
        self._in_hand.add(claimed.id)
        try:
            made = self._composer.compose(claimed, self.provider.name, now)
        except Exception as error:
            log.exception("a delivery cannot be composed", extra={"id": claimed.notification})
            made = Settled(claimed.id, "failed", now, f"internal error: {error!r}"[:ERROR])
        if isinstance(made, Push):
            self._queue.put_nowait(InHand(claimed, made))
        else:
            self._settle(claimed, made)

    async def _until_due(self) -> None:
        """Sleep until there may be something to claim."""
        now = self._clocks.wall()
        due = (await self._store.do(GetDue(now))).providers.get(self.provider.name, now + IDLE)
        seconds = min(max(due - now, SOON), IDLE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    # Sending

    async def _send_all(self) -> None:
        while True:
            job = await self._queue.get()
            try:
                if await self._may_leave(job):
                    self._settle(job.claimed, self._settled(job, await self._send(job.push)))
            except Exception as error:  # with its senders gone a provider would stand still
                self._log("internal error", error)
                failed = Settled(job.claimed.id, "failed", self._clocks.wall(), "internal error")
                self._settle(job.claimed, failed)

    async def _may_leave(self, job: InHand) -> bool:
        """Wait for the push's turn; False when it was given back, for the pause is long."""
        wait = self._pacer.take(self._clocks.steady())
        while wait > 0 or self.paused:
            if self.paused:
                left = self._pacer.paused_until - self._clocks.steady()
                if left > SHORT:
                    self._settle(job.claimed, self._later(job.claimed, left))
                    return False
                wait = max(wait, left)
            await asyncio.sleep(wait)
            wait = 0.0
        return True

    def _later(self, claimed: Claimed, seconds: float, error: str = "") -> Settled:
        """Without an error it does not count as a try."""
        return Settled(claimed.id, "retry", self._clocks.wall() + seconds, error)

    async def _send(self, push: Push) -> Outcome:
        """Whatever the provider does, it is an outcome."""
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(self._limits.timeout):
                return checked(await self.provider.send(push))
        except TimeoutError:
            return Retry(f"no answer in {self._limits.timeout:g} s")
        except asyncio.CancelledError:
            if task is not None and task.cancelling():
                raise
            return Retry("the provider cancelled itself")
        except Exception as error:
            self._log("it failed", error)
            return Retry(f"{type(error).__name__}: {error}")

    def _log(self, what: str, error: Exception) -> None:
        """What fails does so thousands of times."""
        now = self._clocks.steady()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            log.error("provider %s: %s", self.provider.name, what, exc_info=error)

    # Settling

    def _settled(self, job: InHand, outcome: Outcome) -> Settled:
        """What a provider's answer means for a delivery."""
        claimed, now = job.claimed, self._clocks.wall()
        if not (isinstance(outcome, Retry) and outcome.pause):
            self._pauses = 0
        if isinstance(outcome, Delivered):
            return Settled(claimed.id, "delivered", now)
        error = outcome.error[:ERROR].encode(errors="replace").decode()  # of halves of pairs
        if isinstance(outcome, Dead):
            return Settled(claimed.id, "dead", now, error, outcome.since)
        if isinstance(outcome, Failed):
            return Settled(claimed.id, "failed", now, error)
        return self._again(claimed, outcome, error, now)

    def _again(self, claimed: Claimed, outcome: Retry, error: str, now: float) -> Settled:
        tries, chance = claimed.attempts + 1, self._clocks.chance()
        seconds, said = delay(tries, chance, outcome.after), error
        if outcome.pause:
            seconds, said = max(seconds, self._pause(outcome.after, error)), ""
        elif not outcome.tried:
            seconds, said = spread(outcome.after or 0.0, chance), ""
        elif tries >= self._attempts:
            return Settled(claimed.id, "failed", now, f"{error} (tried {tries} times)")
        if now + seconds >= claimed.expires_at:
            return Settled(claimed.id, "expired", now, error)
        return self._later(claimed, seconds, said)

    def _pause(self, asked: float | None, error: str) -> float:
        """Leave the provider alone, and for how many seconds. It is not the delivery's fault, so it
        does not count as a try; without a time that was asked for, pauses grow instead.
        """
        now = self._clocks.steady()
        if self.paused and not asked:  # what was on its way when it began says nothing new
            return self._pacer.paused_until - now
        seconds = asked or pause(self._pauses)
        if not self.paused:
            self._pauses += not asked
            log.warning("provider %s: a pause of %.1f s: %s", self.provider.name, seconds, error)
        self._pacer.pause(now + seconds)
        return seconds

    def _settle(self, claimed: Claimed, result: Settled) -> None:
        merged = [_with_id(result, id) for id in claimed.merged]
        self._results += [result, *merged]
        self._counts[self.provider.name, result.state] += 1 + len(merged)
        self._done.set()

    async def _settle_all(self) -> None:
        """All that came meanwhile at a time. Until the store has it, it is in hand."""
        while True:
            await self._done.wait()
            self._done.clear()
            while self._results:
                batch, self._results = self._results[:BATCH], self._results[BATCH:]
                await self._write(tuple(batch))
                self._in_hand -= {result.id for result in batch}
                self._room.set()
                if any(result.state == "retry" for result in batch):
                    self._news.set()

    async def _write(self, batch: tuple[Settled, ...]) -> None:
        while True:
            try:
                await self._store.do(Settle(batch))
                return
            except StoreError as error:
                log.warning("results wait for the store: %s", error)
                await asyncio.sleep(AGAIN)
            except Exception as error:  # one that the store refuses must not hold up the others
                self._log("results cannot be settled", error)
                for each in batch if len(batch) > 1 else ():
                    await self._write((each,))
                return


def _with_id(result: Settled, id: int) -> Settled:
    return Settled(id, result.state, result.at, result.error, result.dead_since)
