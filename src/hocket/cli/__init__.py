"""The command line: one file a subcommand."""

from __future__ import annotations

import argparse
import signal

import hocket
from hocket.cli import (
    advise,
    backup,
    bench,
    devices,
    doctor,
    drain,
    key,
    notify,
    reload,
    run,
    serve,
    token,
    vapid,
    versus,
)
from hocket.errors import UsageError
from hocket.instance.foreground import say_usage

COMMANDS = (
    serve,
    run,
    notify,
    reload,
    drain,
    doctor,
    bench,
    versus,
    advise,
    token,
    key,
    vapid,
    devices,
    backup,
)


def main(argv: list[str] | None = None) -> None:
    """`hocket ...`: an error that a person can mend is one line on stderr and exit status 2; Ctrl-C
    where nobody else takes it, while an app is imported for one, is status 130.
    """
    args = make_parser().parse_args(argv)
    try:
        args.command(args)
    except UsageError as error:
        say_usage(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hocket", description="A real-time server for Python: chat in rooms over Socket.IO."
    )
    parser.add_argument("--version", action="version", version=f"hocket {hocket.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser
