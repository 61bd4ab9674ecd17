"""What `hocket versus` does: measure, and say what came out."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from tempfile import TemporaryFile

from hocket.errors import UsageError
from hocket.versus import table
from hocket.versus.aspects import aspects
from hocket.versus.cells import TIE, rows
from hocket.versus.claims import ledger
from hocket.versus.figures import Figures
from hocket.versus.machine import raise_file_limit
from hocket.versus.making import HERE, Maker
from hocket.versus.page import page
from hocket.versus.progress import progress
from hocket.versus.results import Results, load
from hocket.versus.running import Plan, Run, fresh
from hocket.versus.scenario import ALL, Scenario
from hocket.versus.scenarios import SCENARIOS
from hocket.versus.stopping import stoppable

RESULTS = Path("versus-results")
RAW = "versus.json"
STOPPED = "Stopped before all was measured."
LACKS = "not measured"


def run(args: argparse.Namespace) -> None:
    """Raises UsageError."""
    if args.agree:
        print(agreement(*(load(path) for path in args.agree)))
        return
    if args.report:
        results = load(args.report)
        if args.results:
            make(args.results)
            write(results, args.results)
        show(results, args)
        return
    plan = planned(args)
    maker = Maker(swapped=swapped(args.peer))
    make(args.results or RESULTS)
    results = measured(plan, maker, args)
    write(results, args.results or RESULTS)
    show(results, args)
    if STOPPED in results.notes:
        raise SystemExit(128 + signal.SIGINT)


def planned(args: argparse.Namespace) -> Plan:
    """Raises UsageError for a scenario or a platform that is none."""
    if args.repeats is not None and not 1 <= args.repeats <= 100:
        raise UsageError("--repeats is from 1 to 100")
    quick = not args.full
    only = [name for asked in args.only or () for name in asked.split(",")]
    names = chosen(only, SCENARIOS, "scenario")
    scenarios = [SCENARIOS[name] for name in names] if names else _all(quick)
    platforms = chosen((args.platforms or ",".join(ALL)).split(","), ALL, "platform")
    return Plan(scenarios, platforms, quick, args.repeats or 0)


def _all(quick: bool) -> list[Scenario]:
    return [each for each in SCENARIOS.values() if not quick or each.quick is not None]


def chosen(
    asked: Sequence[str], known: Sequence[str] | dict[str, Scenario], what: str
) -> list[str]:
    for name in asked:
        if name not in known:
            raise UsageError(f"{name!r} is no {what}; there are {', '.join(known)}")
    return list(asked)


def swapped(peers: Sequence[str]) -> dict[str, Path]:
    """From `go=./my-go`. Raises UsageError."""
    found = {}
    for peer in peers:
        name, equals, folder = peer.partition("=")
        if not equals or name not in ALL:
            raise UsageError(f"--peer is NAME=FOLDER with one of {', '.join(ALL)}, not {peer!r}")
        if not Path(folder).is_dir():
            raise UsageError(f"--peer {peer}: there is no folder {folder!r}; copy and change "
                             f"{HERE / 'peers' / name}")  # fmt: skip
        found[name] = Path(folder).resolve()
    return found


def make(folder: Path) -> None:
    """The folder of the results, before anything is measured. Raises UsageError for one that cannot
    be written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--results: {folder} cannot be written: {error.strerror}") from None


def measured(plan: Plan, maker: Maker, args: argparse.Namespace) -> Results:
    """All of it, or what there was when somebody pressed Ctrl-C.

    Go, Node.js and Hocket raise their limit of open files themselves; uvicorn, tokio and C do not.
    """
    raise_file_limit()
    results = fresh("full" if args.full else "quick", maker)
    if args.only or args.platforms:
        results = replace(results, kind="partial")
    if maker.swapped:
        results.notes.append("Sources swapped: " + ", ".join(sorted(maker.swapped)))
    path = (args.results or RESULTS) / RAW

    def keep(results: Results) -> None:
        results.save(path)

    with progress(plan.steps()) as told, stoppable() as stop:
        going = Run(plan, maker, results, told, keep, stop.check)
        try:
            going.prepare()
            going.measure()
        except KeyboardInterrupt:
            told.say("stopped: these are the results so far")
            results.kind = "partial"
            results.notes.append(STOPPED)
    return results


def write(results: Results, folder: Path) -> None:
    """Raw values, and the report as a page and as Markdown."""
    results.save(folder / RAW)
    (folder / "versus.md").write_text(markdown(results))
    (folder / "versus.html").write_text(html(results))
    print(f"wrote versus.json, versus.md and versus.html to {folder}", file=sys.stderr)


def markdown(results: Results) -> str:
    figures = Figures(rows(results, SCENARIOS))
    return table.report(results, SCENARIOS, aspects(figures), ledger(figures))


def html(results: Results) -> str:
    figures = Figures(rows(results, SCENARIOS))
    return page(results, SCENARIOS, aspects(figures), ledger(figures))


def show(results: Results, args: argparse.Namespace) -> None:
    if args.json:
        print(dumps(asdict(results), indent=1))
    elif args.markdown:
        print(markdown(results))
    else:
        print(table.plain(results, SCENARIOS))


def agreement(one: Results, other: Results) -> str:
    """In how many cells two runs come to the same verdict, and how many are no ties. A cell that
    one of them lacks is one in which they differ. Raises UsageError for runs of two kinds.
    """
    if one.kind != other.kind:
        raise UsageError(f"a {one.kind} run and a {other.kind} run cannot agree")
    first, second = (verdicts(results) for results in (one, other))
    if not first.keys() & second.keys():
        raise UsageError("these two runs have no cell in common")
    cells = sorted(first.keys() | second.keys())
    pairs = {key: (first.get(key, LACKS), second.get(key, LACKS)) for key in cells}
    differ = [key for key, (mine, theirs) in pairs.items() if mine != theirs]
    same = 100 * (1 - len(differ) / len(cells))
    decided = 100 * sum(mine not in (TIE, LACKS) for mine, _ in pairs.values()) / len(cells)
    lines = [f"  {key} {platform}: {', '.join(pairs[key, platform])}" for key, platform in differ]
    head = f"{len(cells)} cells: the same verdict in {same:.0f} %, no tie in {decided:.0f} %"
    return "\n".join([head, *lines])


def verdicts(results: Results) -> dict[tuple[str, str], str]:
    return {
        (row.key, platform): row.verdict(platform)
        for row in rows(results, SCENARIOS)
        for platform in row.rivals()
        if len(row.rivals()) > 1
    }
