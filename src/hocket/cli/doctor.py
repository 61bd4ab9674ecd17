"""`hocket doctor`: is this machine set up for so many users?"""

from __future__ import annotations

import argparse
import json
from typing import Any

from hocket.errors import UsageError
from hocket.instance import checkup
from hocket.instance.limits import workers_for
from hocket.settings import load


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="see whether this machine is set up for so many users",
        description="See what this machine allows, and what to set for a number of users. Exit "
        "status 1 when something should be set.",
    )
    parser.add_argument(
        "--users", type=int, default=0, help="how many (default: what fits as it is set up now)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(command=doctor)


def doctor(args: argparse.Namespace) -> None:
    if not 0 <= args.users <= 10_000_000:
        raise UsageError("--users is from 1 to 10000000")
    settings = load({})
    workers = workers_for(settings)
    users = args.users or min(checkup.fits(workers), settings.max_connections or 1 << 62)
    findings = [
        *checkup.bound(users, settings.max_connections),
        *checkup.examine(users, workers),
        checkup.memory(users),
    ]
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        print(f"For {users} users:")
        for finding in findings:
            mark = "set" if finding.advice else "ok" if finding.known else "?"
            print(f"  {mark:4} {finding.what}: {finding.found}")
            if finding.advice:
                print(f"       -> {finding.advice}")
    raise SystemExit(1 if any(finding.advice for finding in findings) else 0)
