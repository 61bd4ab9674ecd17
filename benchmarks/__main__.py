"""Measure Hocket beside its peers: python -m benchmarks [SCENARIO ...]

Servers run in turn, a fresh one for every run, pinned to one core; the loads have another. What is
measured, and how, is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import building, plots
from benchmarks.report import Report
from benchmarks.runner import Runner, enough_files, say
from benchmarks.scenario import Scenario, Size
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import SERVERS, Server, hocket_on
from hocket.versus import machine
from hocket.versus.processes import LOAD_CORE, SERVER_CORE
from hocket.versus.stopping import Stop, stoppable

RESULTS = building.HERE / "results"
SMALLER_RESULTS = building.BUILD / "results"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="scenarios: " + "; ".join(f"{s.name} ({s.title})" for s in SCENARIOS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="default: all of them")
    add("--peers", type=names, help=f"some of {', '.join(SERVERS)}")
    add("--clients", type=positive, help="instead of a scenario's own number")
    add("--rounds", type=positive, help="broadcasts in a run")
    add("--seconds", type=seconds, help="how long a run's load lasts")
    add("--repeats", type=positive, help="runs of each server")
    add("--quick", action="store_true", help="small and once: does it work?")
    add("--python", metavar="PATH", help="another Python, for one more column of Hocket")
    add("--results", type=Path, metavar="FOLDER", help="where to write; default: "
        "benchmarks/results, or build/benchmarks/results for less than a full run of all servers, "
        "which replaces no kept results")  # fmt: skip
    add("--no-report", action="store_true", help="print only, write nothing")
    args = parser.parse_args()
    if unknown := [name for name in args.scenarios if name not in SCENARIOS]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(SCENARIOS)}")
    return args


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def seconds(text: str) -> float:
    if (number := float(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def names(text: str) -> list[str]:
    known = {key for scenario in SCENARIOS.values() for key in scenario.columns}
    keys = text.split(",")
    if unknown := [key for key in keys if key not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(sorted(known))}")
    return keys


def size_of(scenario: Scenario, args: argparse.Namespace) -> Size:
    """What is asked for, where the scenario has a use for it."""
    size = scenario.quick if args.quick else scenario.full
    given = {
        "clients": (args.clients,) if args.clients and size.clients else None,
        "rounds": args.rounds if size.rounds else None,
        "seconds": args.seconds if size.seconds else None,
        "repeats": args.repeats,
    }
    return replace(size, **{name: value for name, value in given.items() if value})


def columns_of(scenario: Scenario, args: argparse.Namespace) -> dict[str, Server]:
    columns = dict(scenario.columns)
    if args.peers:
        columns = {key: server for key, server in columns.items() if key in args.peers}
    if args.python and scenario.other_python:
        columns["hocket-python"] = hocket_on(args.python)
    return columns


def folder_for(report: Report, args: argparse.Namespace) -> Path:
    """Where results belong: the kept ones are of full runs that missed nothing."""
    if args.results is not None:
        return Path(args.results)
    scenario = report.scenario
    full = report.size.reaches(scenario.full) and set(report.runs) >= set(scenario.columns)
    return RESULTS if full and not report.notes else SMALLER_RESULTS


def measure(scenario: Scenario, args: argparse.Namespace, stop: Stop) -> bool:
    """One scenario, to its printed and written report; tells whether all was well."""
    size, columns = size_of(scenario, args), columns_of(scenario, args)
    if not columns:
        say(f"{scenario.name}: none of these servers")
        return True
    if missing := enough_files(scenario, size.clients):
        say(missing)
        return False
    report = Report(
        scenario=scenario,
        size=size,
        names={key: server.name for key, server in columns.items()},
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )
    if SERVER_CORE == LOAD_CORE:
        report.notes.append("The server and the load shared one core.")
    fine = Runner(report, columns, stop.check).run()
    report.machine = machine.facts(building.BUILD)
    print(f"\n## {scenario.title}\n\n{report.summary()}", flush=True)
    if report.runs and not args.no_report:
        for path in report.write(folder_for(report, args)):
            say(f"wrote {os.path.relpath(path)}")
    return fine and bool(report.runs)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    args = arguments()
    if not args.no_report and not plots.available():
        say("no plots: they need matplotlib (the group `bench` in pyproject.toml)")
    try:
        with stoppable() as stop:
            fine = [measure(SCENARIOS[name], args, stop) for name in args.scenarios or SCENARIOS]
    except KeyboardInterrupt:
        say("stopped")
        return 128 + signal.SIGINT
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
