"""A Job: a notification that was accepted, as whoever asked for it follows it.

job = await app.notify(Audience.all(), Notification(title="Hello"))
await job.wait(timeout=60)
async for result in job.report(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Final

import msgspec

from hocket.store.base import (
    CancelNotification,
    Conflict,
    GetNotification,
    NotificationRow,
    Progress,
    ReportRow,
    State,
    Store,
    StoreError,
)
from hocket.store.base import Report as ReportPage

ASK: Final = 2.0  # seconds after which a job asks by itself: an event may be lost with the store
PAGE: Final = 500  # recipients that a report asks for at a time
OPEN: Final = frozenset({"queued", "leased", "retry"})  # states of deliveries that are under way
ORDER: Final = ("delivered", "pending", "failed", "dead", "expired", "suppressed", "cancelled")


class Status(msgspec.Struct, frozen=True):
    """How far a job is. `recipients`: users; the others count deliveries, one for each device."""

    id: str
    state: State
    recipients: int
    delivered: int
    failed: int
    expired: int
    cancelled: int
    suppressed: int
    pending: int

    @property
    def settled(self) -> bool:
        """Whether nothing of it will change any more (bool)."""
        return self.state in ("done", "cancelled") and self.pending == 0


class DeviceResult(msgspec.Struct, frozen=True):
    """How it went on one device. `state`: queued, leased, retry, delivered, failed, dead (the
    device was forgotten), expired, cancelled, suppressed (the user's preferences said no).
    """

    device: str
    provider: str
    state: str
    attempts: int
    error: str


class Result(msgspec.Struct, frozen=True):
    """How it went for one user. `state` is the best of the devices' (`pending`: one is under way);
    for a user without one `inbox`, who has it there all the same, or `suppressed`, who does not
    want it there.
    """

    user: str
    state: str
    devices: tuple[DeviceResult, ...]


class Jobs:
    """Every job that somebody in this process waits for.

    Args:
        store: where they are.
        wall_clock: seconds since 1970.
    """

    def __init__(self, store: Store, wall_clock: Callable[[], float]) -> None:
        self.store = store
        self.wall_clock = wall_clock
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def told(self, event: Progress) -> None:
        """The store says how far one is."""
        for waiting in self._waiting.get(event.id, ()):
            waiting.set()

    @contextlib.contextmanager
    def watch(self, id: str) -> Generator[asyncio.Event]:
        """An event that is set whenever the job moves."""
        event = asyncio.Event()
        self._waiting.setdefault(id, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[id].discard(event)
            if not self._waiting[id]:
                del self._waiting[id]

    async def find(self, id: str) -> Job:
        """Raises Conflict `not-found`, StoreError."""
        return Job((await self.store.do(GetNotification(id))).id, self)


class Job:
    """A notification on its way. It goes on whether or not somebody waits for it.

    Attributes:
        id: the notification's (str).
    """

    def __init__(self, id: str, jobs: Jobs) -> None:
        self.id = id
        self._jobs = jobs

    async def status(self) -> Status:
        """How far it is now.

        Raises: StoreError.
        """
        return _status(await self._jobs.store.do(GetNotification(self.id)))

    async def wait(self, timeout: float | None = None) -> Status:
        """Wait until it is settled: every delivery is delivered, failed for good, expired or
        cancelled.

        Args:
            timeout: seconds.

        Raises: TimeoutError; the job goes on.
        """
        async with asyncio.timeout(timeout):
            async for status in self:
                last = status
        return last

    async def __aiter__(self) -> AsyncIterator[Status]:
        """How far it is, now and whenever that changes, until it is settled."""
        before: Status | None = None
        with self._jobs.watch(self.id) as moved:
            while before is None or not before.settled:
                moved.clear()
                status = await self._ask()
                if status is not None and status != before:
                    yield status
                    before = status
                elif status is None or not status.settled:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ASK):
                            await moved.wait()

    async def _ask(self) -> Status | None:
        """None while the store is not there: it will be again."""
        try:
            return await self.status()
        except StoreError:
            return None

    def report(self) -> Report:
        """How it went for each user: `async for result in job.report()`, or
        `report = await job.report()`, which has the sums as `report.status` too.
        """
        return Report(self)

    async def cancel(self) -> Status:
        """Stop it: what is not on its way yet is not sent. The inbox keeps what was released.

        Raises: StoreError.
        """
        jobs = self._jobs
        return _status(await jobs.store.do(CancelNotification(self.id, jobs.wall_clock())))

    async def _results(self) -> AsyncIterator[Result]:
        after = ""
        while True:
            page = await self._jobs.store.do(ReportPage(self.id, after, PAGE))
            for row in page:
                yield result_of(row)
            if len(page) < PAGE:
                return
            after = page[-1].user

    def __repr__(self) -> str:
        return f"<Job {self.id}>"


class Report:
    """The results of a job, asked for page by page: `async for` gives a Result for each user,
    sorted by name. Awaited, it has `status`, the sums, first.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.status: Status | None = None

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._job._results()

    def __await__(self) -> Generator[Any, Any, Report]:
        return self._sum_up().__await__()

    async def _sum_up(self) -> Report:
        self.status = await self._job.status()
        return self


def result_of(row: ReportRow) -> Result:
    """A row of the store's, summed up."""
    devices = tuple(
        [
            DeviceResult(each.device, each.provider, each.state, each.attempts, each.error)
            for each in row.deliveries
        ]
    )
    states = {"pending" if each.state in OPEN else each.state for each in devices}
    without = "suppressed" if row.unwanted else "inbox"
    return Result(row.user, next((state for state in ORDER if state in states), without), devices)


def _status(row: NotificationRow) -> Status:
    return Status(
        row.id,
        row.state,
        row.recipients,
        row.delivered,
        row.failed,
        row.expired,
        row.cancelled,
        row.suppressed,
        row.pending,
    )


__all__ = ["Conflict", "DeviceResult", "Job", "Jobs", "Report", "Result", "Status"]
