"""The lifespans of mounted applications (ASGI lifespan specification, version 2.0)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from hocket.errors import UsageError

if TYPE_CHECKING:
    from hocket.transport.mounts import Mount

log = logging.getLogger("hocket")


class Lifespan:
    """One application's, from `start` to `stop`.

    An application that raises before it has said anything has no lifespan: that is how the
    specification lets it say so.
    """

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outcome: asyncio.Future[str | None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises UsageError when the application says that it cannot start."""
        self._task = asyncio.create_task(self._run())
        failure = await self._ask("lifespan.startup")
        if failure is not None:
            self._task.cancel()
            where = self._mount.path or "/"
            raise UsageError(f"the application mounted at {where} failed to start: {failure}")

    async def stop(self) -> None:
        if self._task is None or self._task.done():
            return
        failure = await self._ask("lifespan.shutdown")
        if failure is not None:
            log.error("the application mounted at %s failed to stop: %s", self._mount.path, failure)
        await asyncio.wait([self._task], timeout=1.0)
        self._task.cancel()

    async def _ask(self, what: str) -> str | None:
        """Tell the application; why it failed, or None."""
        self._outcome = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait({"type": what})
        return await self._outcome

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._mount.state,
        }
        try:
            await self._mount.app(scope, self._inbox.get, self._send)
        except Exception as error:
            log.debug("a mounted application has no lifespan", exc_info=error)
        finally:
            self._settle(None)

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        failed = message["type"].endswith(".failed")
        self._settle(str(message.get("message") or "no reason given") if failed else None)

    def _settle(self, failure: str | None) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(failure)
