"""`hocket backup`: a copy of the data while the server runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hocket.cli.stored import add_data, data_folder


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "backup",
        help="copy the data to a file, while the server runs",
        description="Copy the database of a data folder to a new file: all that was acknowledged "
        "when it began. The server goes on meanwhile.",
    )
    parser.add_argument("file", help="the file to write; it must not be there yet")
    add_data(parser)
    parser.set_defaults(command=backup)


def backup(args: argparse.Namespace) -> None:
    from hocket.store.sqlite.backup import back_up  # lazy: only this command copies

    size = back_up(data_folder(args), Path(args.file))
    print(f"{args.file}: {size} bytes")
