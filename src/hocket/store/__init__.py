"""Durable data: users, devices, notifications, deliveries, inboxes, keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hocket.store.base import Store


def connect(directory: str | os.PathLike[str]) -> Store:
    """The store that a server keeps in this folder, whether it is there yet or not."""
    from hocket.store.client import Client  # lazy: only instances with data have a store

    return Client(Path(directory))


async def open(directory: str | os.PathLike[str]) -> Store:
    """The store in this folder: a running server's, else in this process, made if it is not there.

    Raises: UsageError when it can be neither.
    """
    from hocket.store.client import is_served  # lazy: only instances with data have a store
    from hocket.store.sqlite.local import SqliteStore  # lazy: the same

    if await is_served(Path(directory)):
        return connect(directory)
    return SqliteStore(Path(directory))
