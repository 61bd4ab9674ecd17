"""The process that keeps a store. It runs no code of the user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hocket.errors import UsageError
from hocket.store.sqlite.database import open_database
from hocket.store.sqlite.group import Group
from hocket.store.sqlite.ledger import Ledger
from hocket.store.sqlite.lock import Lock
from hocket.store.sqlite.server import Server


async def keep(directory: Path, ready: Callable[[], None], end: asyncio.Event) -> None:
    """Serve the store in a folder until `end` is set. `ready` is called when it answers.

    Raises: UsageError.
    """
    lock = Lock(directory)
    try:
        server = Server(Group(Ledger(open_database(directory))))
        try:
            await server.listen(directory)
        except OSError as error:
            raise UsageError(f"data: {directory}: {error.strerror or error}") from None
        ready()
        await end.wait()
        await server.close()
    finally:
        lock.release()
