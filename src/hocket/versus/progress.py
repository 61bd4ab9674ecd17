"""How far a run is: a bar on a terminal, lines otherwise."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """What a run tells of itself."""

    def step(self, what: str) -> None:
        """Something begins."""

    def done(self) -> None:
        """It has ended."""

    def say(self, line: str) -> None:
        """A line that stays."""


class Lines:
    """For logs and pipes."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._at = 0

    def step(self, what: str) -> None:
        self._at += 1
        self.say(f"{self._at}/{self._total} {what}")

    def done(self) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bar:
    """For people."""

    def __init__(self, bar: Any, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)

    def step(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def done(self) -> None:
        self._bar.advance(self._task)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """On stderr; a bar needs a terminal and the package rich."""
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield Lines(total)
        return
    from rich.console import Console  # lazy: only a terminal has a use for it
    from rich.progress import (  # lazy: as above
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as RichProgress  # lazy: as above

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield Bar(bar, total)
