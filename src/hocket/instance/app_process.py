"""A process that runs mounted applications beside the workers (`app_processes`): their threads and
their computing never meet a fan-out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from hocket.broker.messages import Leaving
from hocket.errors import UsageError
from hocket.instance.control import AnyMessage, Open, Retire, Stop, Took
from hocket.instance.member import Member
from hocket.transport.moving import Mover, is_served
from hocket.transport.relay import always_workers

log = logging.getLogger("hocket")

SWEEP: Final = 0.02  # seconds between two looks at what still runs
PATIENCE: Final = 5.0  # seconds in which others answer; they need milliseconds


class AppMember(Member):
    """Serves the requests that workers move here."""

    _retires = False
    _hurried = False

    async def begin(self) -> None:
        if self.worker.app.mounts is None:
            raise UsageError(
                f"app_processes={self.worker.settings.app_processes}, but no application is "
                "mounted (app.mount): leave it out"
            )
        await super().begin()

    def told(self, message: AnyMessage, files: list[int]) -> None:
        if isinstance(message, Open):
            self._meeting = self.loop.create_task(self._meet())
        elif isinstance(message, Retire):
            self._retires = True
            self.end.set()
        elif isinstance(message, Stop):
            self._hurried = True

    async def _meet(self) -> None:
        await self._hear_all()
        self.say(Took())

    async def _hear_all(self) -> None:
        """Wait until all others have answered, and so have read what was sent to them before, and
        what they had sent before is here.
        """
        broker = self.worker.broker
        if broker is not None and (asked := broker.ping()):
            await asyncio.wait(asked, timeout=PATIENCE)

    async def finish(self) -> None:
        if self._retires:
            await self._retire()
        await super().finish()

    async def _retire(self) -> None:
        """Give all connections back, each when its request has been answered. Another process is
        there for the next ones.
        """
        worker, limit = self.worker, self.worker.settings.reload_timeout
        assert worker.broker is not None
        worker.broker.tell_everybody(Leaving())
        worker.relay.choose = always_workers
        await self._hear_all()
        if not await self._run_out(self.loop.time() + limit):
            log.warning("requests of mounted applications run still, after %g s: cut off", limit)
        await self._hear_all()  # what was given back has come there

    async def _run_out(self, end: float) -> bool:
        """Until nothing runs here; False if something does at the `end`."""
        worker = self.worker
        mover = Mover(worker.hub, worker.reactor, worker.http, worker.gateway)
        while True:
            for parcel in mover.idle_streams():
                worker.relay.give_back(parcel.message, parcel.files)
            streams = worker.http.streams()
            if self._hurried or not (worker.tasks or any(map(is_served, streams))):
                return True
            if self.loop.time() >= end:
                return False
            await asyncio.sleep(SWEEP)
