"""One worker in this process: `app.run()`, `hocket run`, `hocket serve`."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import socket as sockets
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from hocket import settings as settings_table
from hocket.app import App
from hocket.errors import UsageError
from hocket.instance.limits import workers_for
from hocket.instance.listener import open_listener, url_of
from hocket.instance.logs import set_up_logs
from hocket.instance.place import STOPPING, Place, place_of_this
from hocket.instance.signals import ending, ends_with_terminal, is_cut_off, is_watched
from hocket.instance.worker import Worker
from hocket.settings import Settings

if TYPE_CHECKING:
    from hocket.instance.desk import Desk

log = logging.getLogger("hocket")


def run_app(app: App, flags: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM; a UsageError ends the program with one line and status 2."""
    try:
        run(app, settings_table.load(app.given, flags))
    except UsageError as error:
        say_usage(error)
        raise SystemExit(2) from None


def say_usage(error: UsageError) -> None:
    """In one line, with the variable that was meant to mend it, maybe."""
    hints = [f"({hint})" for hint in settings_table.misspelt()]
    print("hocket:", *str(error).split(), *hints, file=sys.stderr)


def run(
    app: App, settings: Settings, make_worker: Callable[[App, Settings], Worker] = Worker
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UsageError, and RuntimeError where it cannot."""
    _check_thread()
    set_up_logs(settings)
    ends_with_terminal()
    is_watched()
    if app.needs_data and not settings.data:
        raise UsageError(
            "the REST API (add_api) keeps what it is told in a folder: start with --data DIR, or "
            "App(data=DIR)"
        )
    if (place := place_of_this()) is not None:
        serving = _serve_as_member(make_worker(app, settings), place)
    else:
        for hint in settings_table.misspelt():
            log.warning("%s", hint)
        listener = open_listener(settings)
        if workers_for(settings) > 1 or settings.app_processes or settings.data:
            from hocket.instance.roles import roles_of  # lazy: for several processes
            from hocket.instance.supervisor import supervise  # lazy: as above

            supervise(listener, settings, roles_of(settings))
        _serve_alone(Foreground(make_worker(app, settings), listener))
        return
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serving)


def _check_thread() -> None:
    """Raises RuntimeError where nothing can be served: signals come to the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("app.run() is for the main thread: start it there, other things beside")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "app.run() has an event loop of its own, and one runs here already: call it from a plain "
        "function, or use `async with hocket.testing.serve(app) as url` in a test"
    )


def _serve_alone(foreground: Foreground) -> None:
    limit = STOPPING + foreground.drain_time
    with (
        ending(foreground.tell, foreground.hung_up, limit),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(foreground.serve())


async def _serve_as_member(worker: Worker, place: Place) -> None:
    from hocket.instance.members import MEMBERS  # lazy: for several processes

    await MEMBERS[place.role](worker, place).serve()


class Foreground:
    """One worker, in the process that the user started.

    Args:
        worker: not started yet.
        listener: for it.
    """

    def __init__(self, worker: Worker, listener: sockets.socket) -> None:
        self._worker = worker
        self._listener = listener
        self.drain_time = worker.settings.drain_time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._asked: list[asyncio.Future[str]] = []
        self._desk: Desk | None = None

    async def serve(self) -> None:
        """Until SIGINT or SIGTERM."""
        worker = self._worker
        self._loop = asyncio.get_running_loop()
        with ExitStack() as ours:
            if worker.settings.run_dir:
                from hocket.broker.roles import WORKER  # lazy: for those who have a run_dir

                worker.join_others(0, WORKER)  # an Emitter is somebody else too
                self._desk = self._make_desk(worker.settings.run_dir)
                ours.callback(self._desk.close)
            if await self._start():
                await self._serve_on()

    def tell(self) -> None:
        """To end; from a signal handler, in the loop's own thread."""
        self._set(self._stop)

    def hung_up(self) -> None:
        """As `tell`, if the terminal has gone; else to reload."""
        if is_cut_off(ends_with_terminal()):
            signal.raise_signal(signal.SIGTERM)
        else:
            self._set(self._reload)

    def _set(self, event: asyncio.Event) -> None:
        """At once, for whoever looks before this process becomes another; and once more in the
        loop: who was in the middle of beginning to wait did not hear of it.
        """
        event.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended, and this process is about to
                self._loop.call_soon_threadsafe(_set_again, event)

    async def _serve_on(self) -> None:
        worker, loop = self._worker, asyncio.get_running_loop()
        worker.garbage.settle()
        if self._desk is not None:
            self._desk.open()
        print(f"Hocket serves {url_of(self._listener)}", flush=True)
        copy = self._listener.dup()
        reloading = loop.create_task(self._reload_when_asked(copy))
        await self._stop.wait()
        if worker.entrance.listener is None:  # taken over: the supervisor that this becomes stops
            await reloading
        reloading.cancel()
        self._refuse(self._asked)
        copy.close()
        await worker.stop()
        await asyncio.wait({reloading})
        if self._desk is not None:
            self._desk.leave()
            await self._desk.finish()
        if reloading.done() and not reloading.cancelled():
            reloading.result()  # what broke it: the status says that this is no good end

    async def _start(self) -> bool:
        """Whether it has: False when it was told to stop before."""
        own = asyncio.current_task()
        assert own is not None
        watching = asyncio.create_task(self._cancel_at_stop(own))
        try:
            await self._worker.start(self._listener)
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
            own.uncancel()
            return False
        finally:
            watching.cancel()
        return True

    async def _cancel_at_stop(self, task: asyncio.Task[Any]) -> None:
        await self._stop.wait()
        task.cancel()

    def _make_desk(self, run_dir: str) -> Desk:
        from hocket.instance.desk import Desk  # lazy: for those who have a run_dir

        return Desk(run_dir, {"reload": self._ask_to_reload, "drain": self._drain}, self._hear)

    def _hear(self, emitter: sockets.socket) -> None:
        if self._worker.broker is not None:
            self._worker.broker.hear(emitter)

    async def _drain(self) -> str:
        if not self._stop.is_set():  # a second one changes nothing
            signal.raise_signal(signal.SIGTERM)  # the same end, within the same time
        return "draining"

    async def _ask_to_reload(self) -> str:
        from hocket.instance.desk import Refused  # lazy: for those who reload
        from hocket.instance.reloading import STOPS  # lazy: as above

        if self._stop.is_set():
            raise Refused(STOPS)
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked.append(outcome)
        self._reload.set()
        return await outcome

    def _refuse(self, asked: list[asyncio.Future[str]]) -> None:
        """Tell those who want a reload that none comes any more."""
        if asked:
            from hocket.instance.desk import Refused, settle  # lazy: for those who reload
            from hocket.instance.reloading import STOPS  # lazy: as above

            settle(asked, Refused(STOPS))

    async def _reload_when_asked(self, listener: sockets.socket) -> None:
        while not self._stop.is_set():
            await self._reload.wait()
            from hocket.instance.desk import Refused, settle  # lazy: for those who reload
            from hocket.instance.renewal import Renewal  # lazy: as above

            self._reload.clear()
            asked, self._asked = self._asked, []
            taken = functools.partial(settle, asked)
            renewal = Renewal(self._worker, listener, self._stop, self._reload, taken, self._desk)
            try:
                await renewal.run()
            except Refused as refused:
                log.error("%s", refused)
                settle(asked, refused)
            except asyncio.CancelledError:
                self._refuse(asked)
                raise
            except Exception:  # part of what it has may be gone: whoever runs it starts it anew
                log.exception("internal error while reloading: the server ends")
                self._stop.set()
                raise


def _set_again(event: asyncio.Event) -> None:
    """Unless it was heard of, and cleared."""
    if event.is_set():
        event.clear()
        event.set()


def _loop_factory() -> Any:
    """uvloop where it is; else asyncio's own loop."""
    try:
        import uvloop  # lazy: not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
