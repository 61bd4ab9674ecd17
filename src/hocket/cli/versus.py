"""`hocket versus`: the same scenarios on Go, Node.js, Python and Hocket, on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAMES = ("go", "node", "python", "hocket")
QUICK = "hello, start, size, memory, broadcast, echo, chat, cpu, io, push, latency, code"
ONLY_FULL = "tasks, single, crowd, churn, files, proxy, warmth, types"


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "versus",
        help="measure Go, Node.js and Hocket on this machine",
        description="Run the same scenarios on Go, Node.js, Python and Hocket, on this machine and "
        "on loopback only, and print who is better at what. Programs are built once, with your own "
        "tool chains; one that is missing is named and its column left out.",
        epilog=f"Scenarios: {QUICK}; and without --quick: {ONLY_FULL}.",
    )
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under two minutes; see below (default)")
    size.add_argument("--full", action="store_true", help="all scenarios, each several times")
    add("--only", action="append", metavar="SCENARIO",
        help="this one, or several with commas; may be repeated")  # fmt: skip
    add("--platforms", metavar="LIST", help=f"some of {','.join(NAMES)}")
    add("--repeats", type=int, metavar="N", help="runs of each platform in a scenario")
    add("--peer", action="append", default=[], metavar="NAME=FOLDER", help="sources that take the "
        "place of a platform's own, such as go=./my-go")  # fmt: skip
    add("--results", type=Path, metavar="DIR", help="where to write (default: ./versus-results)")
    add("--json", action="store_true", help="print the results as JSON")
    add("--markdown", action="store_true", help="print the report as Markdown")
    add("--report", type=Path, metavar="FILE", help="measure nothing: report on this JSON file")
    add("--agree", type=Path, nargs=2, metavar="FILE", help="in how many cells two runs agree")
    parser.set_defaults(command=versus)


def versus(args: argparse.Namespace) -> None:
    from hocket.versus.command import run  # lazy: no other command pays for it

    run(args)
