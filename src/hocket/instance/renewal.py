"""Reload where there is one worker, which is the process that the user started: a child takes
everything over, and this process becomes its supervisor, with the pid that it has.
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
from collections.abc import Callable

from hocket.instance.control import AnyMessage, CountAll, Open
from hocket.instance.desk import Desk, Refused
from hocket.instance.hand import Hand
from hocket.instance.handover import Giver
from hocket.instance.metrics import counted
from hocket.instance.place import STOPPING
from hocket.instance.reloading import DIES, FAILS, NOT, SLOW, STARTING, STOPS
from hocket.instance.roles import roles_of
from hocket.instance.supervisor import block_signals, command, supervise
from hocket.instance.totals import Left, Totals
from hocket.instance.worker import Worker

log = logging.getLogger("hocket")


class Renewal:
    """One try.

    Args:
        worker: that serves now.
        listener: a copy of its listening socket.
        stop, reload: set when this process has been told to stop, to reload.
        taken: called when the new process has everything.
        desk: of this process, if there is one.
    """

    def __init__(
        self,
        worker: Worker,
        listener: sockets.socket,
        stop: asyncio.Event,
        reload: asyncio.Event,
        taken: Callable[[str], None],
        desk: Desk | None,
    ) -> None:
        self._worker = worker
        self._listener = listener
        self._stop = stop
        self._reload = reload
        self._taken = taken
        self._desk = desk
        self._giver: Giver | None = None
        self._roles = roles_of(worker.settings)
        self._desk_fd = -1
        self._totals = Totals(lambda: [self._new], lambda: counted(worker))

    async def run(self) -> None:
        """Does not return when the new code starts. Raises Refused when it does not."""
        try:
            ours, new = self._launch()
        except OSError as error:
            raise Refused(NOT.format(f"no process can be started ({error})")) from None
        self._new = new
        loop = asyncio.get_running_loop()
        began = loop.time()
        timer = loop.call_later(STARTING, new.process.kill)
        try:
            ready = await new.ready
        except BaseException:  # this process is to stop: nothing of it may stay
            new.process.kill()
            raise
        finally:
            timer.cancel()
        if not ready or self._stop.is_set():
            ours.close()
            await self._kill()
            if self._stop.is_set():
                raise Refused(STOPS)
            raise Refused(NOT.format(SLOW if loop.time() - began >= STARTING else FAILS))
        self._giver = giver = Giver(self._worker, ours, self._leave_desk)
        opening = loop.create_task(self._open())
        hurrying = loop.create_task(self._hurry(giver))
        try:
            gave = await giver.give(self._worker.settings.reload_timeout)
        except BaseException:
            new.process.kill()
            raise
        if not gave:
            hurrying.cancel()
            await self._kill()
            raise Refused(STOPS if self._stop.is_set() else NOT.format(DIES))
        await self._end_worker()
        await giver.part()
        await opening
        hurrying.cancel()
        if self._desk is not None:
            await self._desk.finish()
        await self._become_supervisor(new)

    async def _become_supervisor(self, new: Hand) -> None:
        """Of the new process, and with the counters of what this one was. Does not return."""
        adopted, left = None, Left()
        self._totals.add(counted(self._worker).counters)
        if new.channel.closed:  # it has died in the meantime: the supervisor starts all anew
            await self._kill()
            self._totals.add(new.counted.counters)
        else:
            channel = new.channel.detach()
            adopted = new.process.pid, channel.fd
            left = Left({}, new.counted, channel.received, channel.unsent)
        left.ended = self._totals.ended
        block_signals()  # what comes from now on is for the supervisor
        asked = self._stop.is_set(), self._reload.is_set()
        supervise(
            self._listener, self._worker.settings, self._roles, adopted, left, *asked, self._desk_fd
        )

    def _leave_desk(self) -> None:
        """Who asks from now on asks the supervisor that this becomes."""
        if self._desk is not None:
            self._desk_fd = self._desk.leave()

    def _launch(self) -> tuple[sockets.socket, Hand]:
        """The new process, and the socket to it. Raises OSError."""
        ours, theirs = sockets.socketpair()
        with theirs:
            try:
                new = Hand.launch(
                    self._roles[0],
                    0,
                    command(),
                    self._listener,
                    self._told,
                    self._ended,
                    theirs,
                )
            except OSError:
                ours.close()
                raise
        return ours, new

    async def _end_worker(self) -> None:
        """Everything of it that is left; what hangs goes when this process becomes another."""
        limit = STOPPING + self._worker.settings.drain_time
        try:
            async with asyncio.timeout(limit):
                await self._worker.stop()
        except TimeoutError:
            log.warning("on_shutdown or a lifespan does not end within %g s: cut off", limit)
        except Exception:
            log.exception("internal error while the old code stops")

    async def _kill(self) -> None:
        self._new.process.kill()
        while self._new.process.poll() is None:  # noqa: ASYNC110 - SIGCHLD is the app's
            await asyncio.sleep(0.01)

    async def _open(self) -> None:
        if await self._new.took:
            self._new.tell(Open())
            self._new.channel.flush()
            done = "reloaded: this process is a supervisor from now on"
            log.info(done)
            self._taken(done)

    def _told(self, hand: Hand, message: AnyMessage) -> None:
        if isinstance(message, CountAll):
            self._totals.answer(hand)

    async def _hurry(self, giver: Giver) -> None:
        await self._stop.wait()
        giver.hurry()

    def _ended(self) -> None:
        """The new process has gone: a supervisor starts another."""
        self._new.gone()
        if self._giver is not None:
            self._giver.hurry()
