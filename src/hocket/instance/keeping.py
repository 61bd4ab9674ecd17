"""What a process of an instance with `data` has: the store, and what stands on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hocket.app import App
from hocket.notify.live import Live
from hocket.notify.notifier import Notifier
from hocket.store.base import Store

if TYPE_CHECKING:
    from hocket.hub.hub import Hub

log = logging.getLogger("hocket")

OpenStore = Callable[[str], Awaitable[Store]]


async def open_store(data: str) -> Store:
    """The store of a data folder. Raises UsageError for a folder that cannot be one."""
    raise NotImplementedError


class Keeping:
    """The store of one process, from its start to its end."""

    def __init__(self, app: App, store: Store) -> None:
        self._app = app
        self.store = store
        self.notifier = Notifier(store, time.time)
        self._following: asyncio.Task[None] | None = None
        app.store, app.notifier = store, self.notifier

    def attend(self, hub: Hub) -> None:
        """Tell the clients of a worker."""
        live = hub.doorkeeper = Live(hub, self.store, self.notifier.jobs)
        self._following = asyncio.get_running_loop().create_task(live.follow())
        self._following.add_done_callback(_report)

    async def close(self) -> None:
        """Let go of everything."""
        self._app.store = self._app.notifier = None
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self.store.close()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("internal error in live notifications", exc_info=error)
