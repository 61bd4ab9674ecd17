"""What a process of an instance with `data` has: the store, and what stands on it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from hocket.app import App
from hocket.notify.live import Live
from hocket.notify.notifier import Notifier
from hocket.notify.templates import Templates
from hocket.store.base import Store

if TYPE_CHECKING:
    from hocket.hub.hub import Hub
    from hocket.providers.delivery import Delivery
    from hocket.settings import Settings

log = logging.getLogger("hocket")


class Keeping:
    """The store of one process, from its start to its end.

    Args:
        app: whose notifications it keeps.
        store: which it closes in the end.
        folder: with templates; empty: none.

    Raises: UsageError for a folder of templates that is none.
    """

    def __init__(self, app: App, store: Store, folder: str = "") -> None:
        self._app = app
        self.store = store
        self.templates = app.templates or Templates()
        if folder:
            self.templates.load(folder)
        self.notifier = Notifier(store, time.time, self.templates)
        self.delivery: Delivery | None = None
        self._live: asyncio.Task[None] | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._deleting: asyncio.Task[None] | None = None
        app.store, app.notifier = store, self.notifier

    def attend(self, hub: Hub) -> None:
        """Tell the clients of a worker, unless they are guests."""
        live = Live(hub, self.store, self.notifier.jobs)
        if not self._app.has_guests:
            hub.doorkeeper = live
        self._live = _run("live notifications", live.follow())

    def deliver(self, settings: Settings) -> None:
        """Push to devices."""
        from hocket.notify.retention import Retention  # lazy: only who delivers needs it
        from hocket.providers.composing import (
            Composer,
            renderer,
        )  # lazy: as above
        from hocket.providers.deliverer import Clocks  # lazy: as above
        from hocket.providers.delivery import Delivery  # lazy: as above
        from hocket.providers.registry import configured  # lazy: as above

        providers = {each.name: each for each in (*configured(settings), *self._app.providers)}
        self.delivery = Delivery(
            providers.values(),
            self.store,
            Composer(renderer(self.templates)),
            Clocks(time.time, time.monotonic, random.random),
            settings.delivery_attempts,
            self.notifier.jobs.told,
        )
        self._delivering = _run("deliveries", self.delivery.run())
        retention = Retention(self.store, time.time, settings.retention)
        self._deleting = _run("retention", retention.run())

    async def close(self) -> None:
        """Finish, and let go of everything."""
        self._app.store = self._app.notifier = None
        for task in (self._live, self._deleting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self.delivery is not None and self._delivering is not None:
            self.delivery.end()
            await asyncio.wait([self._delivering])
        await self.store.close()


def _run(what: str, coroutine: object) -> asyncio.Task[None]:
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]

    def report(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("internal error in %s", what, exc_info=error)

    task.add_done_callback(report)
    return task
