"""Command line flags, from the table of settings."""

from __future__ import annotations

import argparse
from typing import Any

from hocket.settings import PLANNED, refuse_planned, rows


def add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, with its variable and default in the help. Not for secrets: every
    process can read a command line.
    """
    group = parser.add_argument_group(
        "settings", "each can also be given as the variable in brackets, or in hocket.toml"
    )
    for row in rows():
        if not row.secret:
            unit = f" {row.unit}" if row.unit else ""
            default = "none" if row.default is None else row.default
            help = f"{row.help} [{row.variable}; default: {default}{unit}]".replace("%", "%%")
            kind = "yes|no" if isinstance(row.default, bool) else "VALUE"
            group.add_argument(row.flag, dest=row.name, metavar=row.unit.upper() or kind, help=help)
    for name in PLANNED:
        group.add_argument(f"--{name}", help=argparse.SUPPRESS)


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags gave. Raises UsageError for those that do not work yet."""
    refuse_planned({name: getattr(args, name) for name in PLANNED})
    return {row.name: getattr(args, row.name) for row in rows() if not row.secret}
