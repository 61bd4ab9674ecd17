"""`make campaign ARGS="kill --minutes 5"`: a real server under what a bad day brings."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from campaigns.runs import RUNS
from campaigns.server import FailedError
from campaigns.verdict import show


def main() -> None:
    parser = argparse.ArgumentParser(prog="make campaign", description=__doc__)
    parser.add_argument("campaign", choices=RUNS)
    for name, kind in (
        ("clients", int),
        ("workers", int),
        ("minutes", float),
        ("every", float),
        ("reloads", int),
        ("slow", float),
        ("rate", float),
    ):
        parser.add_argument(f"--{name}", type=kind, metavar="N")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    run, size = RUNS[given.pop("campaign")]
    size = dataclasses.replace(size, **given)
    try:
        items = run(size)
    except FailedError as error:
        print(f"campaign {run.__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    counts = f"{size.clients} clients, {size.workers} workers, {size.minutes:g} minutes"
    title = f"{run.__name__}: {counts}"
    raise SystemExit(0 if show(title, items) else 1)


if __name__ == "__main__":
    main()
