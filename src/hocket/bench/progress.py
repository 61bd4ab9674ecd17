"""How far it is: a bar on a terminal, a line now and then elsewhere. Both on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any, Final

from hocket.bench.conductor import Show

EVERY: Final = 2.0  # seconds between two lines
QUIET: Final = 0.1  # seconds between two looks of the bar


class Lines:
    """For logs and pipes."""

    def __init__(self) -> None:
        self._what = ""
        self._total = 0.0
        self._said = 0.0

    def begin(self, what: str, total: float) -> None:
        self._what, self._total, self._said = what, total, -EVERY
        self.at(0)

    def at(self, done: float, note: str = "") -> None:
        if time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            of = f"{self._what} {done:,.0f} of {self._total:,.0f}"
            with suppress(OSError):  # nobody reads it any more
                print(f"{of}, {note}" if note else of, file=sys.stderr, flush=True)

    def end(self) -> None:
        pass


class Silence:
    """For nobody: stderr is closed."""

    def begin(self, what: str, total: float) -> None: ...
    def at(self, done: float, note: str = "") -> None: ...
    def end(self) -> None: ...


class Bar:
    """For people. Drawn by this thread alone, when there is news."""

    def __init__(self, rich_progress: Any) -> None:
        columns = rich_progress
        self._progress = columns.Progress(
            columns.TextColumn("{task.description:>10}"),
            columns.BarColumn(),
            columns.MofNCompleteColumn(),
            columns.TextColumn("{task.fields[note]}"),
            auto_refresh=False,
            console=_stderr(),
        )
        self._task: Any = None
        self._drawn = 0.0

    def begin(self, what: str, total: float) -> None:
        self._progress.start()
        self._task = self._progress.add_task(what, total=round(total), note="")

    def at(self, done: float, note: str = "") -> None:
        if time.monotonic() - self._drawn >= QUIET:
            self._drawn = time.monotonic()
            self._progress.update(self._task, completed=round(done), note=note, refresh=True)

    def end(self) -> None:
        self._progress.refresh()
        self._progress.stop()


def _stderr() -> Any:
    from rich.console import Console  # lazy: only on a terminal

    return Console(stderr=True)


def choose() -> Show:
    """What fits where stderr goes."""
    if sys.stderr is None:
        return Silence()
    if not sys.stderr.isatty():
        return Lines()
    from rich import progress  # lazy: only on a terminal, and after the processes were forked

    return Bar(progress)
