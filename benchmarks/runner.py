"""Every column in turn, a fresh server for every run (A B C A B C), and what disturbed them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks import building
from benchmarks.building import MissingError
from benchmarks.figures import figure
from benchmarks.report import Report
from benchmarks.scenario import Run, Scenario
from benchmarks.servers import Command, Server
from benchmarks.several import PER_PROCESS
from hocket.versus import machine
from hocket.versus.processes import FailedError
from hocket.versus.watching import OtherLoad

SPARE_FILES = 100  # what a server or the load opens besides those for its clients


@dataclass
class Runner:
    """Fills a report."""

    report: Report
    columns: Mapping[str, Server]
    check: Callable[[], None] = lambda: None  # before each run: raises to stop

    def run(self) -> bool:
        """Build, then measure; tells whether nothing failed."""
        commands = self._commands()
        fine = True
        for repeat in range(1, self.report.size.repeats + 1):
            for key in list(commands):
                self.check()
                say(f"{self._scenario.name} {repeat}/{self.report.size.repeats}: "
                    f"{self.report.names[key]} ... ", end="")  # fmt: skip
                try:
                    run = self._measured(self.columns[key], commands[key])
                except (FailedError, MissingError, machine.GoneError) as error:
                    self._note("Failed", key, error)
                    del commands[key]
                    fine = False
                    continue
                self.report.runs.setdefault(key, []).append(run)
                say(f"{self._headline(run)}{disturbance(run)}")
        return fine

    @property
    def _scenario(self) -> Scenario:
        return self.report.scenario

    def _commands(self) -> dict[str, Command]:
        """Of the columns that can run here."""
        commands: dict[str, Command] = {}
        for key, server in self.columns.items():
            try:
                building.need(*self._scenario.programs)
                commands[key] = server.command()
            except MissingError as error:
                self._note("Left out", key, error)
        return commands

    def _measured(self, server: Server, command: Command) -> Run:
        other = OtherLoad()
        run = self._scenario.measure(server, command, self.report.size)
        return run | other.facts()

    def _headline(self, run: Run) -> str:
        measure, row = next(iter(self._scenario.rows(self.report.size).items()))
        value = figure([run], measure)
        return f"{row.title}: {row.form.format(value.median)}" if value else "done"

    def _note(self, how: str, key: str, error: Exception) -> None:
        self.report.notes.append(f"{how}: {self.report.names[key]}: {error}.")
        say(self.report.notes[-1])


def enough_files(scenario: Scenario, clients: tuple[int, ...]) -> str:
    """A line that says what is missing, or nothing."""
    most = PER_PROCESS if scenario.several else max(clients, default=0)
    needed = most + SPARE_FILES
    limit = machine.raise_file_limit()
    if needed <= limit:
        return ""
    return f"{scenario.name} needs {needed} open files, and `ulimit -Hn` allows {limit}"


def disturbance(run: Run) -> str:
    if not run["disturbed"]:
        return ""
    return f"  DISTURBED: {run['other_load']} cores of other load, {run['stolen']} stolen"


def say(text: str, end: str = "\n") -> None:
    print(text, file=sys.stderr, end=end, flush=True)
