"""A Worker: one event loop, one reactor, one hub, for one app."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket as sockets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from hocket.app import App
from hocket.errors import SHUTTING_DOWN
from hocket.hub.engine import Engine, Limits, Loop
from hocket.hub.hub import Hub
from hocket.instance.garbage import Garbage
from hocket.instance.metrics import Lag, Metrics
from hocket.settings import Settings
from hocket.transport.front_door import BuiltIn, FrontDoor
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpTransport
from hocket.transport.linger import Linger
from hocket.transport.origins import Origins
from hocket.transport.reactor import Reactor, choose_pace
from hocket.transport.routes import RouteRunner

if TYPE_CHECKING:
    from hocket.transport.mounts import MountRunner

log = logging.getLogger("hocket")

TICK: Final = 0.5  # seconds between two looks at the loop and at the garbage
SHUTDOWN: Final = 5.0  # seconds that running handlers have to end


class Ids:
    """Session and socket ids that nobody can guess: 120 random bits in 20 characters.

    Asks the kernel for many at a time: a client needs two, at 2 us each if made one by one.
    """

    def __init__(self) -> None:
        self._made: list[str] = []

    def __call__(self) -> str:
        if not self._made:
            text = urlsafe_b64encode(os.urandom(15 * 128)).decode("ascii")
            self._made = [text[at : at + 20] for at in range(0, len(text), 20)]
        return self._made.pop()


new_id = Ids()


def limits_of(settings: Settings) -> Limits:
    names = Limits.__dataclass_fields__
    return Limits(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})


class Worker:
    """Serves one app.

    Args:
        app: whose handlers run.
        settings: as loaded.
        clock: seconds, monotonic.
    """

    reactor: Reactor
    loop: Loop
    engine: Engine
    hub: Hub
    http: HttpTransport
    mounted: MountRunner | None

    def __init__(
        self, app: App, settings: Settings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.app: App = app
        self.settings = settings
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self.garbage: Garbage = Garbage(clock)
        self.lag: Lag = Lag(TICK)
        self._listeners: list[sockets.socket] = []

    async def start(self, listener: sockets.socket) -> None:
        """Build everything and let clients in. Must be called on the loop that it is to live in."""
        self._asyncio = asyncio.get_running_loop()
        self.reactor = Reactor(self._asyncio, self._clock)
        self.loop = self._make_loop()
        self.engine = Engine(limits_of(self.settings), self.loop)
        self.hub = Hub(self.engine, self.app.static, self.app.dynamic, self.app.report)
        self._make_transports()
        self.app.hub = self.hub
        try:
            if self.mounted is not None:
                await self.mounted.start()
            await self.app.startup()
        except BaseException:
            self.app.hub = None
            self.reactor.close_all()
            listener.close()
            raise
        self._every(self.engine.heartbeats.tick, self.engine.tick)
        self._every(self.http.tick_seconds, self.http.tick)
        self._every(TICK, self.lag.tick)
        self._every(TICK, self.garbage.tick)
        self.garbage.watch()
        tune(listener, self.settings)
        self.reactor.listen(listener, self.accepted)
        self._listeners.append(listener)

    def _make_loop(self) -> Loop:
        return Loop(
            clock=self._clock,
            wall_clock=time.time,
            defer=self._asyncio.call_soon,
            defer_from_thread=self._asyncio.call_soon_threadsafe,
            call_later=self._asyncio.call_later,
            spawn=self._spawn,
            new_task=new_task_maker(self._asyncio),
            current_task=asyncio.current_task,
            choose_pace=choose_pace,
            pause=self.reactor.pause,
            new_id=new_id,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.new_task(coroutine)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_transports(self) -> None:
        settings = self.settings
        self.linger = linger = Linger(self.loop, self.reactor)
        self.http = HttpTransport(
            self.loop,
            self.reactor,
            linger,
            settings.max_payload,
            settings.request_timeout,
            settings.keep_alive,
            settings.max_outbox,
        )
        self.accepted = self.http.accepted
        if settings.trusted_proxies:
            self._trust_proxies()
        gateway = Gateway(
            self.engine,
            self.reactor,
            linger,
            self.http,
            Origins(settings.origins),
            self.app.admit(),
            settings.compression,
        )
        routes = RouteRunner(self.loop, self.http, self.app.routes)
        self.mounted = self._mount(routes)
        built_in: dict[str, BuiltIn] = {settings.sse_path: gateway.events}
        if settings.metrics != "off":
            built_in["/metrics"] = Metrics(self, settings.metrics == "all")
        front_door = FrontDoor(
            settings.path,
            gateway,
            built_in,
            routes,
            self.app.routes,
            self.mounted,
        )
        front_door.attend(self.http)

    def _mount(self, routes: RouteRunner) -> MountRunner | None:
        from hocket.transport.asgi_websocket import (  # lazy: 5 ms of the start
            AsgiWebSocketTransport,
        )
        from hocket.transport.mounts import MountRunner  # lazy: as above

        if self.app.mounts is None:
            return None
        settings = self.settings
        websockets = AsgiWebSocketTransport(
            self.loop,
            self.reactor,
            self.linger,
            self._spawn,
            settings.max_payload,
            settings.max_outbox,
            settings.ping_interval,
        )
        return MountRunner(
            self.app.mounts, self.http, websockets, self._spawn, self.loop.defer, routes.date
        )

    def _trust_proxies(self) -> None:
        from hocket.transport.proxies import (  # lazy: for those who have a proxy in front
            Proxies,
            ProxyProtocol,
        )

        proxies = self.http.proxies = Proxies(self.settings.trusted_proxies)
        if self.settings.proxy_protocol:
            self.accepted = ProxyProtocol(
                self.loop,
                self.reactor,
                self.linger,
                proxies,
                self.settings.request_timeout,
                self.http.accepted,
                self.http.adopt,
            ).accepted

    def _every(self, seconds: float, act: Callable[[float], None]) -> None:
        """Call `act(now)` again and again, on time even if one call was late."""

        def again() -> None:
            try:
                act(self._clock())
            except Exception:
                log.exception("internal error in a timer")
            self._timers[index] = self._asyncio.call_later(seconds, again)

        index = len(self._timers)
        self._timers.append(self._asyncio.call_later(seconds, again))

    async def _end_tasks(self) -> None:
        """Give what runs a moment to end by itself; then cancel it."""
        running = {*self._tasks, *self.hub.dispatch.tasks}
        if running:
            _, running = await asyncio.wait(running, timeout=SHUTDOWN)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=SHUTDOWN)

    async def stop(self) -> None:
        """Let nobody in, say goodbye to everybody, wait for running handlers, undo `start`."""
        for listener in self._listeners:
            self.reactor.stop_listening(listener)
            listener.close()
        for timer in self._timers:
            timer.cancel()
        for connection in tuple(self.engine.connections.values()):
            self.engine.close(connection, SHUTTING_DOWN)
        if self.mounted is not None:
            self.mounted.close_all()
        await asyncio.sleep(0)
        await self._end_tasks()
        self.garbage.stop()
        await self.app.shutdown()
        if self.mounted is not None:
            await self.mounted.stop()
        self.app.hub = None
        self.reactor.close_all()


def new_task_maker(
    loop: asyncio.AbstractEventLoop,
) -> Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]:
    """Eager tasks where Python has them, from 3.12: the first step runs at once, for next
    to nothing.
    """
    if sys.version_info >= (3, 12):
        return functools.partial(asyncio.Task, loop=loop, eager_start=True)
    return functools.partial(asyncio.Task, loop=loop)


def tune(listener: sockets.socket, settings: Settings) -> None:
    """Socket options, once, on the listening socket: accepted sockets inherit them on Linux, which
    saves three system calls each.

    No Nagle delay for small frames; what the kernel buffers for a client that does not read is
    bounded as the outbox is; a client whose network is gone is given up when its heartbeat would
    be.
    """
    listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, settings.max_outbox // 2)
    if hasattr(sockets, "TCP_USER_TIMEOUT"):
        timeout = settings.ping_interval + settings.ping_timeout
        listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, round(timeout * 1000))
