"""`hocket reload`: new code under connected clients."""

from __future__ import annotations

import argparse
from typing import Any

from hocket.errors import UsageError
from hocket.instance.desk import Refused, ask
from hocket.settings import load


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "reload",
        help="load new code without disconnecting anybody",
        description="Let a running server load the code that is on disk now; nobody is "
        "disconnected. If the new code does not start, the server goes on with what it has.",
    )
    parser.add_argument(
        "--run-dir", default=None, help="as the server was started with [HOCKET_RUN_DIR]"
    )
    parser.set_defaults(command=reload)


def reload(args: argparse.Namespace) -> None:
    run_dir = args.run_dir or load({}).run_dir
    if not run_dir:
        raise UsageError("which server? give --run-dir (HOCKET_RUN_DIR), as the server has it")
    try:
        print(ask(run_dir, "reload"))
    except Refused as refused:
        raise SystemExit(f"hocket: {refused}; the server's log says why") from None
