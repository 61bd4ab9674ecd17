"""One worker in this process: `app.run()`, `hocket run`, `hocket serve`."""

from __future__ import annotations

import asyncio
import signal
import socket as sockets
import sys
from collections.abc import Callable, Mapping
from typing import Any

from hocket import settings as settings_table
from hocket.app import App
from hocket.errors import UsageError
from hocket.instance import control
from hocket.instance.limits import workers_for
from hocket.instance.listener import open_listener, url_of
from hocket.instance.logs import set_up_logs
from hocket.instance.worker import Worker
from hocket.settings import Settings


def run_app(app: App, flags: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM; a UsageError ends the program with one line and status 2."""
    try:
        run(app, settings_table.load(app.given, flags))
    except UsageError as error:
        print("hocket:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


def run(
    app: App, settings: Settings, make_worker: Callable[[App, Settings], Worker] = Worker
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UsageError."""
    set_up_logs(settings)
    if (place := control.place()) is not None:
        serving = _serve_as_member(make_worker(app, settings), place)
    else:
        listener = open_listener(settings)
        if (workers := workers_for(settings)) > 1:
            from hocket.instance.supervisor import supervise  # lazy: for several workers

            supervise(listener, settings, workers)
        serving = _serve(make_worker(app, settings), listener)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serving)


async def _serve_as_member(worker: Worker, place: control.Place) -> None:
    from hocket.instance.member import Member  # lazy: for several workers

    await Member(worker, place).serve()


async def _serve(worker: Worker, listener: sockets.socket) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop_once, loop, number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await worker.start(listener)
    worker.garbage.settle()
    print(f"Hocket serves {url_of(listener)}", flush=True)
    reloading = loop.create_task(_reload(worker, listener.dup(), reload, stop))
    await stop.wait()
    if worker.entrance.listener is None:  # taken over: the supervisor that this becomes stops
        await reloading
    reloading.cancel()
    await worker.stop()


async def _reload(
    worker: Worker, listener: sockets.socket, reload: asyncio.Event, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        await reload.wait()
        from hocket.instance.renewal import Renewal  # lazy: for those who reload

        reload.clear()
        await Renewal(worker, listener, stop, reload).run()


def _stop_once(loop: asyncio.AbstractEventLoop, number: int, stop: asyncio.Event) -> None:
    """The first signal lets handlers end; a second one ends the process at once."""
    stop.set()
    loop.remove_signal_handler(number)
    signal.signal(number, signal.SIG_DFL)  # what is restored for SIGINT would only ask again


def _loop_factory() -> Any:
    """uvloop where it is; else asyncio's own loop."""
    try:
        import uvloop  # lazy: not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
