"""Every platform in turn, a fresh server for every run (A B C A B C), until all is measured."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hocket.versus.machine import GoneError
from hocket.versus.machine import facts as machine_facts
from hocket.versus.making import HERE, Maker, MissingError
from hocket.versus.platforms import PLATFORMS
from hocket.versus.processes import FailedError
from hocket.versus.progress import Progress
from hocket.versus.results import Results
from hocket.versus.scenario import Contest, Scenario, contest
from hocket.versus.watching import OtherLoad

GUESTS = ("c", "centrifuge", "rust", "ts")  # columns of one scenario each; no platforms to choose
TROUBLE: tuple[type[Exception], ...] = (
    FailedError,
    MissingError,
    GoneError,
    ValueError,
    KeyError,
    OSError,
)
TROUBLE += (subprocess.SubprocessError,)


@dataclass
class Plan:
    """Which scenarios, on which platforms, how large and how often."""

    scenarios: Sequence[Scenario]
    platforms: Sequence[str]
    quick: bool
    repeats: int = 0  # 0: each scenario's own

    def size(self, scenario: Scenario) -> Mapping[str, Any]:
        if self.quick and scenario.quick is not None:
            return scenario.quick
        return scenario.full

    def times(self, scenario: Scenario) -> int:
        return self.repeats or (1 if self.quick else scenario.repeats)

    def columns(self, scenario: Scenario) -> list[str]:
        return [key for key in scenario.columns if key in self.platforms or key in GUESTS]

    def steps(self) -> int:
        """At most: a platform that fails or is missing has no more of them."""
        return sum(
            self.times(scenario) * len(self.columns(scenario)) for scenario in self.scenarios
        )


@dataclass
class Run:
    """One run of the head-to-head; `results` holds what there is at any time."""

    plan: Plan
    maker: Maker
    results: Results
    progress: Progress
    keep: Callable[[Results], None] = lambda results: None  # after each scenario
    check: Callable[[], None] = lambda: None  # before each run: raises to stop

    def prepare(self) -> None:
        """Make everything first, so that nothing is built beside a measurement."""
        self.progress.say("building what is not built yet ...")
        for key in self.plan.platforms:
            try:
                PLATFORMS[key].make(self.maker, "hello")
            except MissingError as error:
                self.results.missing[key] = str(error)
                self.progress.say(f"{PLATFORMS[key].name} is left out: {error}")
            else:
                self.results.columns[key] = PLATFORMS[key].name
        for scenario in self.plan.scenarios:
            for key in self._columns(scenario):
                self._made(scenario, key)

    def _columns(self, scenario: Scenario) -> list[str]:
        known = {*self.results.columns, *GUESTS}
        return [key for key in self.plan.columns(scenario) if key in known]

    def _made(self, scenario: Scenario, key: str) -> bool:
        try:
            scenario.prepare(self._contest(scenario, key))
        except MissingError as error:
            self._failed(scenario, key, str(error))
            return False
        return True

    def _contest(self, scenario: Scenario, key: str) -> Contest:
        return contest(key, self.maker, self.plan.size(scenario))

    def _failed(self, scenario: Scenario, key: str, why: str) -> None:
        if self.results.failed.get(scenario.name, {}).get(key) != why:
            self.progress.say(f"{scenario.name}: {PLATFORMS[key].name}: {why}")
        self.results.fail(scenario.name, key, why)

    def measure(self) -> None:
        for scenario in self.plan.scenarios:
            began = time.monotonic()
            self.results.sizes[scenario.name] = dict(self.plan.size(scenario))
            for repeat in range(self.plan.times(scenario)):
                for key in self._columns(scenario):
                    if key not in self.results.failed.get(scenario.name, {}):
                        self._one(scenario, key, repeat + 1)
            self.results.seconds[scenario.name] = round(time.monotonic() - began, 1)
            self.keep(self.results)

    def _one(self, scenario: Scenario, key: str, repeat: int) -> None:
        self.check()
        self.progress.step(f"{scenario.title}: {PLATFORMS[key].name}, run {repeat}")
        other = OtherLoad()
        try:
            values = scenario.run(self._contest(scenario, key))
        except TROUBLE as error:
            self._failed(scenario, key, str(error) or type(error).__name__)
            values = error.values if isinstance(error, FailedError) else {}
        if values:
            self.results.columns.setdefault(key, PLATFORMS[key].name)
            self.results.add(scenario.name, key, values)
            self._watch(scenario, other)
        self.progress.done()

    def _watch(self, scenario: Scenario, other: OtherLoad) -> None:
        found = other.facts()
        if found["disturbed"]:
            cores = round(found["other_load"] + found["stolen"], 2)
            self.results.disturbed.setdefault(scenario.name, []).append(cores)


def fresh(kind: str, maker: Maker) -> Results:
    """Results of now and here, with nothing measured yet."""
    return Results(
        kind=kind,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        machine=facts(maker),
    )


def facts(maker: Maker) -> dict[str, Any]:
    """The machine, the tool chains, and the packages that the programs stand on."""
    found = {key: value for key, value in machine_facts(maker.cache).items() if key in MACHINE}
    for platform, file, pattern in PINNED:
        path = maker.sources(platform) / file
        text = path.read_text() if path.exists() else ""
        found |= dict(re.findall(pattern, text, re.MULTILINE))
    return found


MACHINE = {"cpu", "cores", "kernel", "python", "node", "go", "gcc", "hocket", "uvloop", "httptools"}
PINNED = (
    ("go", "go.mod", r"(gorilla/websocket|go-redis/v9) v(\S+)"),
    ("node", "package.json", r'"(express|socket\.io|redis|undici|typescript)": "([^"]+)"'),
    ("python", "requirements.txt", r"^(fastapi|python-socketio|uvicorn|aiohttp|mypy)==(\S+)"),
)


def _commit() -> str:
    """Of the tree that this runs from; nothing for an installed package."""
    with suppress(OSError):
        told = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=HERE, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return told.stdout.strip()
    return ""
