"""`hocket drain`: stop a server gently."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from hocket.errors import UsageError
from hocket.instance.desk import Refused, ask, is_served
from hocket.settings import load

LOOK: Final = 0.1  # seconds between two looks


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "drain",
        help="stop a server gently and wait until it has ended",
        description="Let a running server take no new clients, send its clients away over its "
        "drain_time, and end; wait for that. SIGTERM does the same and does not wait.",
    )
    parser.add_argument(
        "--run-dir", default=None, help="as the server was started with [HOCKET_RUN_DIR]"
    )
    parser.set_defaults(command=drain)


def drain(args: argparse.Namespace) -> None:
    run_dir = args.run_dir or load({}).run_dir
    if not run_dir:
        raise UsageError("which server? give --run-dir (HOCKET_RUN_DIR), as the server has it")
    try:
        print(ask(run_dir, "drain"), flush=True)
    except Refused as refused:
        raise SystemExit(f"hocket: {refused}") from None
    while is_served(run_dir):
        time.sleep(LOOK)
    print("ended")
