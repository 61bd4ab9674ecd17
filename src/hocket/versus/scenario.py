"""What a scenario is: a row of the report for each measure, and how one run of it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hocket.versus.making import Maker
from hocket.versus.platforms import PLATFORMS, Command, Platform

Values = dict[str, float]
ALL = ("go", "node", "python", "hocket")


@dataclass(frozen=True)
class Measure:
    """One row. `least` is the smallest difference that means anything, in the measure's unit."""

    title: str
    unit: str = ""
    better: str = "less"  # or "more"
    digits: int = 1
    least: float = 0.0


@dataclass(frozen=True)
class Contest:
    """One platform in one scenario: what its run may ask for."""

    platform: Platform
    key: str
    maker: Maker
    size: Mapping[str, Any]

    def program(self, name: str) -> Command:
        """Raises MissingError."""
        return self.platform.make(self.maker, RENAMED.get((self.key, name), name))

    def load(self, name: str) -> str:
        """Raises MissingError."""
        return self.maker.load(name)


RENAMED = {  # a module `io` would stand in the way of Python's own
    ("python", "io"): "profile_io",
    ("hocket", "io"): "profile_io",
}


@dataclass(frozen=True)
class Scenario:
    """`full` and `quick` are what a run may ask its contest for; without `quick` it is no part of
    the quick subset. `programs` are made before anything is measured.
    """

    name: str
    title: str
    question: str
    measures: Mapping[str, Measure]
    run: Callable[[Contest], Values]
    full: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = None
    repeats: int = 3
    columns: tuple[str, ...] = ALL
    programs: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    make: Callable[[Contest], Command] | None = None  # for programs of its own
    says: str = ""

    def prepare(self, contest: Contest) -> None:
        """Make all that a run needs. Raises MissingError."""
        for load in self.loads:
            contest.load(load)
        for program in self.programs:
            contest.program(program)
        if self.make:
            self.make(contest)


def contest(key: str, maker: Maker, size: Mapping[str, Any]) -> Contest:
    return Contest(PLATFORMS[key], key, maker, size)
