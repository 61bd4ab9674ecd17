"""How a notification goes, while somebody watches: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from hocket.notify.jobs import Job, Status

EVERY: Final = 2.0  # seconds between two lines


class Display(Protocol):
    """Shows one status after the other."""

    def show(self, status: Status) -> None: ...

    def end(self) -> None: ...


async def show_progress(job: Job, quiet: bool = False) -> None:
    """Until the job is settled, on stderr."""
    display = None if quiet else make_display()
    try:
        async for status in job:
            if display is not None:
                display.show(status)
    finally:
        if display is not None:
            display.end()


def make_display() -> Display:
    if sys.stderr.isatty():
        try:
            return Bar()
        except ImportError:
            pass
    return Lines()


class Rate:
    """Deliveries settled a second, since the first look."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def of(self, status: Status) -> str:
        return f"{settled(status) / max(time.monotonic() - self._start, 0.001):,.0f}/s"


def settled(status: Status) -> int:
    return status.delivered + status.failed + status.expired + status.cancelled + status.suppressed


def so_far(status: Status) -> str:
    done = settled(status)
    total = done + status.pending
    return f"{done:,} of {total:,}: {status.delivered:,} delivered, {status.failed:,} failed"


class Lines:
    """For logs: at most one line in two seconds."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._next = 0.0

    def show(self, status: Status) -> None:
        now = time.monotonic()
        if now < self._next and not status.settled:
            return
        self._next = now + EVERY
        print(f"{so_far(status)}, {self._rate.of(status)}", file=sys.stderr, flush=True)

    def end(self) -> None: ...


class Bar:
    """For people. Raises ImportError without the package rich."""

    def __init__(self) -> None:
        from rich.console import Console  # lazy: only a terminal has a bar
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # lazy: also

        self._rate = Rate()
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=None)

    def show(self, status: Status) -> None:
        done = settled(status)
        words = f"{status.delivered:,} delivered, {status.failed:,} failed, {self._rate.of(status)}"
        self._progress.update(
            self._task, completed=done, total=done + status.pending, description=words
        )

    def end(self) -> None:
        self._progress.stop()
