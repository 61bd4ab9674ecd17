"""The command line: one file a subcommand."""

from __future__ import annotations

import argparse
import os
import signal
import sys

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

STDOUT = 1
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
    where nobody else takes it, while an app is imported for one, is status 130; and nobody is told
    anything when whoever read stdout has gone (`hocket doctor | head -1`).
    """
    try:
        args = make_parser().parse_args(argv)
        args.command(args)
    except UsageError as error:
        say_usage(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except OSError:
        _write("\n")  # whether stdout was at fault: it is asked once more
        raise
    finally:
        _write("")


def _write(text: str) -> None:
    """To stdout, with all that waits for it: Python would do it later, with a traceback where it
    cannot.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # Python tries again as it ends
        if isinstance(error, BrokenPipeError):
            raise SystemExit(128 + signal.SIGPIPE) from None
        print("hocket: stdout cannot be written:", error.strerror, file=sys.stderr)
        raise SystemExit(1) from None


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hocket", description="A real-time server for Python: chat in rooms over Socket.IO."
    )
    parser.add_argument("--version", action="version", version=f"hocket {hocket.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser
