"""`hocket serve`: the ready-made chat server."""

from __future__ import annotations

import argparse
from typing import Any

from hocket.cli.flags import add_settings, given
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
    run(make_app(settings), settings)
