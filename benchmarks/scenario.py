"""What a scenario is: its columns, its rows, how large it is, and how one run of it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.servers import Command, Server
from hocket.versus.watching import Run

__all__ = ["Row", "Run", "Scenario", "Size"]


@dataclass(frozen=True)
class Size:
    """How large a measurement is. What a scenario has no use for stays 0 or empty."""

    clients: tuple[int, ...] = ()
    rounds: int = 0
    seconds: float = 0.0
    repeats: int = 5

    def reaches(self, other: Size) -> bool:
        """Whether this is as large as another."""
        return (
            self.clients == other.clients
            and self.rounds >= other.rounds
            and self.seconds >= other.seconds
            and self.repeats >= other.repeats
        )


@dataclass(frozen=True)
class Row:
    """One measure: what it is called, how it is printed, and whether it is drawn."""

    title: str
    form: str = "{:.1f}"
    floor: float = 0.0  # ratios to less than this say nothing: the C loop keeps no memory
    drawn: bool = False


@dataclass(frozen=True)
class Scenario:
    """A row of the table of scenarios.

    A run is a dict with a number for each row, or with a list of rounds that have them.
    """

    name: str
    title: str
    columns: Mapping[str, Server]
    full: Size
    quick: Size
    rows: Callable[[Size], Mapping[str, Row]]
    measure: Callable[[Server, Command, Size], Run]
    ratios: Sequence[tuple[str, str]] = ()  # pairs of columns; without them Hocket to each other
    several: bool = False  # servers have as many processes as their clients take
    other_python: bool = False  # whether --python adds a column
    programs: tuple[str, ...] = ()  # what it needs besides its servers
    draw: Callable[..., None] | None = None  # in place of bars
    says: str = ""  # a paragraph for the page
