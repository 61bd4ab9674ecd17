"""Commands about what a server keeps in its data folder."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hocket.errors import UsageError
from hocket.settings import Settings, load

if TYPE_CHECKING:
    from hocket.store.base import Store

FILE: Final = "hocket.db"


def add_data(parser: argparse._ActionsContainer) -> None:
    """The flag that says where."""
    parser.add_argument("--data", metavar="DIR", help="the server's data folder [HOCKET_DATA]")


def settings_of(args: argparse.Namespace) -> Settings:
    """Raises: UsageError when it is not said where."""
    settings = load({}, {"data": args.data})
    if not settings.data:
        raise UsageError("--data DIR says where the server keeps its data")
    return settings


def data_folder(args: argparse.Namespace) -> Path:
    """Raises: as above."""
    return Path(settings_of(args).data)


def data_that_is_there(args: argparse.Namespace) -> Path:
    """For what only reads or revokes: a wrong path must not become an empty folder of data.

    Raises: UsageError when it is not said, or no server has ever kept anything there.
    """
    folder = data_folder(args)
    if not folder.is_file() and not (folder / FILE).exists():
        raise UsageError(f"--data {folder}: no server keeps its data there (there is no {FILE})")
    return folder


def with_store(data: Path, run: Callable[[Store], Awaitable[None]]) -> None:
    """Run something with the store: that of the server that runs, else in this process.

    Raises: UsageError, also for what the store cannot do now.
    """
    asyncio.run(_with_store(data, run))


async def _with_store(data: Path, run: Callable[[Store], Awaitable[None]]) -> None:
    from hocket import store  # lazy: commands without data do not need it
    from hocket.store.base import StoreError  # lazy: as above

    opened = await store.open(data)
    try:
        await run(opened)
    except StoreError as error:
        raise UsageError(f"the store in {data} cannot do it: {error}") from None
    finally:
        await opened.close()
