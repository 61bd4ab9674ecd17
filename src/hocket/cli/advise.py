"""`hocket advise`: Go, Node.js, Hocket or a mix of them, for a project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

QUESTIONS = {  # as versus/advice.toml has them
    "connections": "users connected at the same time",
    "messages": "messages a second that reach users, all together",
    "cpu_share": "percent of the work that computes in your own code",
    "latency_ms": "within which 99 %% of the messages must arrive; 0: any",
    "memory_mib": "memory it may take; 0: any",
    "start_ms": "within which a new process must answer; 0: any",
    "team": "languages the team knows: go,javascript,typescript,python",
    "front_end": "none, javascript, typescript or mobile",
    "integrations": "few, some or many",
    "deployment": "server, container, serverless or single-file",
}


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "advise",
        help="which to pick: Go, Node.js, Hocket or a mix",
        description="Say what a project needs, by flags, in a TOML file or when asked, and get a "
        "ranking of Go, Node.js, Hocket and a mix of them: with the figure each reason rests on, "
        "and what would change the answer. What is not said has a usual value.",
    )
    for name, help in QUESTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), metavar="VALUE", help=help)
    add = parser.add_argument
    add("--file", type=Path, metavar="TOML", help="answers, by the names of the flags with _ for -")
    add("--report", type=Path, metavar="JSON", help="of a run of hocket versus (default: "
        "./versus-results/versus.json, or else those that come with Hocket)")  # fmt: skip
    add("--json", action="store_true", help="for machines")
    parser.set_defaults(command=advise)


def advise(args: argparse.Namespace) -> None:
    from hocket.versus.consulting import consult  # lazy: no other command pays for it

    given = {name: getattr(args, name) for name in QUESTIONS}
    consult({name: each for name, each in given.items() if each is not None}, args)
