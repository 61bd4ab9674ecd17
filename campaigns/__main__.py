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
    campaigns = parser.add_subparsers(dest="campaign", required=True, metavar="CAMPAIGN")
    for name, (run, size) in RUNS.items():
        flags = campaigns.add_parser(name, help=run.__doc__, description=run.__doc__)
        for field in dataclasses.fields(size):
            default = getattr(size, field.name)
            flags.add_argument(
                f"--{field.name}", type=type(default), default=default, metavar="N",
                help=f"default: {default:g}",
            )  # fmt: skip
    given = vars(parser.parse_args())
    name = given.pop("campaign")
    run, size = RUNS[name]
    size = dataclasses.replace(size, **given)
    try:
        items = run(size)
    except FailedError as error:
        print(f"campaign {name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0 if show(f"{name}: {size}", items) else 1)


if __name__ == "__main__":
    main()
