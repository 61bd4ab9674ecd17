"""`hocket serve`: the ready-made chat server."""

from __future__ import annotations

import argparse
from typing import Any

from hocket.cli.flags import add_settings, given
from hocket.errors import UsageError
from hocket.instance.foreground import run
from hocket.serve.server import make_app
from hocket.settings import load


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="run the ready-made chat server",
        description="Run the ready-made chat server: a chat page on /, Socket.IO on /socket.io, "
        "health checks on /healthz and /readyz.",
    )
    add_settings(parser)
    parser.set_defaults(command=serve)


def serve(args: argparse.Namespace) -> None:
    settings = load({}, given(args))
    if settings.workers != 1:
        raise UsageError(
            f"workers={settings.workers or 'auto'} is not available for the ready-made chat yet, "
            "which keeps its rooms in one process; your own app may have several (`hocket run`)"
        )
    run(make_app(settings), settings)
