"""A Worker: one event loop, one reactor, one hub, for one app."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket as sockets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from hocket.app import App
from hocket.errors import SHUTTING_DOWN, HTTPError
from hocket.hub.engine import WORKERS, Engine, Limits, Loop
from hocket.hub.hub import Hub
from hocket.hub.ids import Ids
from hocket.hub.starter import TaskStarter, start
from hocket.instance.garbage import Garbage
from hocket.instance.limits import capacity_of, most_of, sessions_of
from hocket.instance.metrics import Lag, Metrics
from hocket.settings import Settings
from hocket.transport.entrance import Entrance
from hocket.transport.front_door import BuiltIn, FrontDoor, with_slash
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpTransport
from hocket.transport.linger import Linger
from hocket.transport.origins import Origins
from hocket.transport.reactor import Reactor, choose_pace
from hocket.transport.routes import RouteRunner

if TYPE_CHECKING:
    from hocket.broker.local import LocalBroker
    from hocket.instance.control import Numbers
    from hocket.instance.keeping import Keeping
    from hocket.protocol.http1 import Request
    from hocket.transport.mounts import MountRunner
    from hocket.transport.proxies import ProxyProtocol
    from hocket.transport.relay import Relay
    from hocket.transport.sse import Explain
    from hocket.transport.stream import HttpStream

log = logging.getLogger("hocket")

TICK: Final = 0.5  # seconds between two looks at the loop
TIDY: Final = 0.1  # ... at the garbage: the longest of them took 6 ms with 0.5, and takes 2
NEWS: Final = 0.2  # seconds between two times that a worker tells others how many clients it has
DRAIN: Final = 0.05  # seconds between two batches of clients that are sent away
SHUTDOWN: Final = 5.0  # seconds that running handlers have to end, and clients to take answers
SWEEP: Final = 0.02  # seconds between two looks at who has not taken an answer yet
LAST: Final = 2  # turns of the loop in which what had come before a stop is read


def limits_of(settings: Settings) -> Limits:
    names = Limits.__dataclass_fields__
    return Limits(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})


class Worker:
    """Serves one app.

    Args:
        app: whose handlers run.
        settings: as loaded.
        clock: seconds, monotonic.

    `number` and `broker` are set by `join_others`, where there are several processes; `count_all`
    where there is a supervisor. One with the role APP runs the mounted applications and lets nobody
    in: what it serves comes from workers, and what a handler of the app may do it does through
    them.
    """

    reactor: Reactor
    loop: Loop
    engine: Engine
    hub: Hub
    http: HttpTransport
    mounted: MountRunner | None
    relay: Relay
    gateway: Gateway
    entrance: Entrance
    origins: Origins

    def __init__(
        self, app: App, settings: Settings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.app: App = app
        self.settings = settings
        self._clock = clock
        self.tasks: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self.garbage: Garbage = Garbage(clock, came=lambda: self.engine.counts.opened.total())
        self.lag: Lag = Lag(TICK)
        self.number = 0
        self.has_clients = self.runs_hooks = self.runs_mounts = True
        self.takes_over = False  # from a process before this one, which has clients
        self.broker: LocalBroker | None = None
        self.count_all: Callable[[], Awaitable[list[Numbers]]] | None = None  # of all processes
        self.keeping: Keeping | None = None
        self.introductions: ProxyProtocol | None = None

    async def start(self, listener: sockets.socket) -> None:
        """Build everything and let clients in. Must be called on the loop that it is to live in."""
        try:
            await self.prepare()
        except BaseException:
            listener.close()
            raise
        self.open(listener)

    def join_others(self, number: int, role: str) -> None:
        """Before `prepare`: this is to be the process of that number and role, one of several.
        Their links are then made with `broker.link`.
        """
        from hocket.broker.local import LocalBroker  # lazy: one worker alone needs none of it
        from hocket.broker.roles import APP, DELIVERY, WORKER  # lazy: as above

        self.number = number
        self._role = role
        self.has_clients = role == WORKER
        self.runs_hooks = role != DELIVERY
        self.runs_mounts = role == APP or (role == WORKER and not self.settings.app_processes)
        self.broker = LocalBroker(
            asyncio.get_running_loop(),
            lambda paused: self.engine.pause(WORKERS, paused),
            lambda fd, moved: self.relay.take(fd, moved),
        )

    async def prepare(self) -> None:
        """Build everything and run what the app wants run first."""
        self._asyncio = asyncio.get_running_loop()
        self.reactor = Reactor(self._asyncio, self._clock)
        self._starter = TaskStarter(self._asyncio)
        self.loop = self._make_loop()
        self.engine = Engine(limits_of(self.settings), self.loop)
        self.hub = Hub(self.engine, self.app.static, self.app.dynamic, self.app.report)
        self.origins = Origins(self.settings.origins, self.app.has_guests)
        self._make_transports()
        self._ask_who()
        self.entrance = Entrance(
            self._asyncio, self.reactor, capacity_of(self.settings), self.accepted
        )
        if self.broker is not None:
            self._meet(self.broker)
        self.app.hub, self.app.stops = self.hub, False
        try:
            self.keeping = await self.keep()
            if self.mounted is not None:
                await self.mounted.start()
            if self.runs_hooks:
                await self.app.startup()
        except BaseException:
            self.app.hub = None
            if self.keeping is not None:
                await self.keeping.close()
            self.entrance.close()
            self.reactor.close_all()
            raise
        self._every(self.engine.heartbeats.tick, self.engine.tick)
        self._every(self.http.tick_seconds, self.http.tick)
        self._every(TICK, self.lag.tick)
        self._every(TIDY, self.garbage.tick)
        self.garbage.watch()

    async def keep(self) -> Keeping | None:
        """The store, where there is one. Under a supervisor another process keeps it; alone, as in
        tests, this one does, and delivers too.
        """
        if not self.settings.data:
            return None
        from hocket import store  # lazy: for instances with data
        from hocket.instance.keeping import Keeping  # lazy: as above

        data = self.settings.data
        alone = self.broker is None
        kept = await store.open(data) if alone else store.connect(data)
        keeping = Keeping(self.app, kept, self.settings.templates)
        if self.has_clients:
            keeping.attend(self.hub)
        if alone:
            keeping.deliver(self.settings)
        return keeping

    def open(self, listener: sockets.socket) -> None:
        """Let clients in."""
        tune(listener, self.settings)
        self.entrance.open(listener)

    def _make_loop(self) -> Loop:
        return Loop(
            clock=self._clock,
            wall_clock=time.time,
            defer=self._asyncio.call_soon,
            defer_from_thread=self._asyncio.call_soon_threadsafe,
            call_later=self._asyncio.call_later,
            spawn=self._spawn,
            starter=self._starter,
            current_task=asyncio.current_task,
            choose_pace=choose_pace,
            pause=self.reactor.pause,
            new_id=Ids(self.number),
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        if (task := start(self._starter, coroutine)) is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _ask_who(self) -> None:
        """Where anybody is to say who they are: who decides that."""
        settings, app = self.settings, self.app
        keys = settings.secret or settings.token_public_key or settings.token_jwks
        if not keys and app.identify_hook is None and not app.needs_identity:
            return
        from hocket.identity.guard import attend  # lazy: PyJWT is 20 ms of the start

        app.authenticator = attend(self.hub, settings, app.identify_hook, self.origins.trusts)
        if (expiry := self.hub.expiry) is not None:
            self._every(expiry.tick_seconds, expiry.tick)

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
        self.gateway = gateway = Gateway(
            self.engine,
            self.reactor,
            linger,
            self.http,
            self.origins,
            self.app.admit(),
            settings.compression,
            sessions_of(settings),
        )
        routes = RouteRunner(self.loop, self.http, self.app.routes, self.origins)
        self.mounted = self._mount(routes)
        built_in: dict[str, BuiltIn] = {
            settings.sse_path: gateway.events,
            **{
                path: functools.partial(self._events_of_users, explainer)
                for path, explainer in self.app.event_paths.items()
            },
        }
        if settings.metrics != "off":
            built_in["/metrics"] = Metrics(self, settings.metrics == "all")
        self.front_door = FrontDoor(
            settings.path,
            gateway,
            built_in,
            routes,
            self.app.routes,
            self.app.mounts,
            self.mounted,
        )
        self.front_door.attend(self.http)
        self.app.origins, self.app.settings = self.origins, settings
        self.http.limits = self.app.body_limits
        self.http.explain = self.app.explain or self.http.explain

    def _events_of_users(
        self, explainer: Callable[[Request], Explain], stream: HttpStream, request: Request
    ) -> None:
        """As the setting `sse_path`'s, for those who have said who they are."""
        if self.hub.guard is None:
            raise HTTPError(401, "a token is needed")
        self.gateway.events(stream, request, explainer(request))

    def _meet(self, broker: LocalBroker) -> None:
        from hocket.transport.relay import Relay, chooser  # lazy: one worker alone needs none of it

        self.hub.join_others(broker, self.takes_over)
        self.engine.on_fanout_paused = broker.hold
        paths = with_slash(self.settings.path)
        self.entrance.others, self.entrance.told = broker.shares, broker.announce
        broker.heard = self.entrance.heard
        unchanged = bool(self.settings.app_processes)  # connections come and go between two looks
        self._every(NEWS, lambda now: self._tell_news(broker, unchanged))
        self.relay = self.http.elsewhere = Relay(
            self.number,
            paths,
            chooser(self._role, self.runs_mounts, self.front_door.is_mounted),
            self.reactor,
            self.http,
            broker,
            most_of(self.settings),
        )

    def _tell_news(self, broker: LocalBroker, unchanged: bool) -> None:
        broker.tick(len(self.reactor), unchanged)
        self.entrance.news = broker.news

    def _mount(self, routes: RouteRunner) -> MountRunner | None:
        if self.app.mounts is None or not self.runs_mounts:
            return None
        from hocket.transport.asgi_websocket import (  # lazy: 5 ms of the start
            AsgiWebSocketTransport,
        )
        from hocket.transport.mounts import MountRunner  # lazy: as above

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
            self.introductions = ProxyProtocol(
                self.loop,
                self.reactor,
                self.linger,
                proxies,
                self.settings.request_timeout,
                self.http.accepted,
                self.http.adopt,
            )
            self.accepted = self.introductions.accepted

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
        running = {*self.tasks, *self.hub.dispatch.tasks}
        if running:
            _, running = await asyncio.wait(running, timeout=SHUTDOWN)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=SHUTDOWN)

    async def _finish_answers(self) -> None:
        """Give clients a moment to take the rest of what they asked for."""
        end = self._asyncio.time() + SHUTDOWN
        while any(stream.backlog is not None for stream in self.http.streams()):
            if self._asyncio.time() >= end:
                break
            await asyncio.sleep(SWEEP)

    async def stop(self) -> None:
        """Let nobody in, say goodbye to everybody, wait for running handlers, undo `start`."""
        self.entrance.close()
        for _ in range(LAST):
            await asyncio.sleep(0)
        self.gateway.stops = self.app.stops = True
        await self._send_away()
        for timer in self._timers:
            timer.cancel()
        if self.mounted is not None:
            self.mounted.close_all()
        await asyncio.sleep(0)
        await self._end_tasks()
        await self._finish_answers()
        self.garbage.stop()
        if self.runs_hooks:
            await self.app.shutdown()
        if self.mounted is not None:
            await self.mounted.stop()
        if self.keeping is not None:
            await self.keeping.close()
        self.app.hub = None
        self.reactor.close_all()
        self._starter.close()
        if self.broker is not None:
            self.broker.close()

    async def _send_away(self) -> None:
        """Say goodbye to everybody, over `drain_time`: where they go next is not to be
        overrun.
        """
        going = list(self.engine.connections.values())
        if self.settings.drain_time:
            from random import shuffle  # lazy: 1 ms of the start

            shuffle(going)
        seconds, count = self.settings.drain_time, len(going)
        steps = max(1, min(count, round(seconds / DRAIN)))
        for step in range(steps):
            if step:
                await asyncio.sleep(seconds / steps)
            for connection in going[count * step // steps : count * (step + 1) // steps]:
                self.engine.close(connection, SHUTTING_DOWN)
        for connection in tuple(self.engine.connections.values()):  # who came meanwhile
            self.engine.close(connection, SHUTTING_DOWN)


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
