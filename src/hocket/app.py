"""The App: what you write against."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Collection, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hocket import settings as settings_table
from hocket.errors import FORBIDDEN, ConnectError
from hocket.hub.declaring import check_arguments
from hocket.hub.handlers import Handlers
from hocket.hub.handshake import Handshake
from hocket.hub.hub import Hub
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from hocket.hub.throttle import Throttle
from hocket.transport.routes import Routes

if TYPE_CHECKING:
    from hocket.hub.elsewhere import RemoteSocket
    from hocket.hub.namespace import Namespace as RunningNamespace
    from hocket.identity.authenticator import Authenticator
    from hocket.notify.jobs import Job
    from hocket.notify.model import Audience, Notification
    from hocket.notify.notifier import Notifier
    from hocket.notify.templates import Templates
    from hocket.protocol.http1 import Request
    from hocket.providers.base import Provider
    from hocket.settings import Settings
    from hocket.store.base import Store
    from hocket.transport.asgi import AsgiApp
    from hocket.transport.http import BodyLimit
    from hocket.transport.http import Explain as ExplainError
    from hocket.transport.mounts import Mounts
    from hocket.transport.origins import Origins
    from hocket.transport.sse import Explain

log = logging.getLogger("hocket")

F = TypeVar("F", bound=Callable[..., Any])

MAIN = "/"
MOST_LOGGED = 10  # errors a second: a client may provoke as many as it likes


class Namespace:
    """One namespace of an app: `admin = app.namespace("/admin")`. The App itself is the namespace
    `/`.

    Source: Socket.IO server API, class Namespace.
    """

    def __init__(
        self, app: App | None, name: str, handlers: Handlers | None = None, pattern: str = ""
    ) -> None:
        self._app = app
        self._name = name  # empty: all that the pattern matches
        self._pattern = pattern  # which its handlers are registered for
        self._handlers = handlers or Handlers()

    def _declare(self) -> Handlers:
        """Its handlers, to add to. Raises ValueError where they are not its alone."""
        if self._name and self._pattern:
            raise ValueError(
                f"{self._name!r} is one of the namespaces that {self._pattern!r} matches, and has "
                "the handlers of all of them: declare it before the pattern to give it its own"
            )
        return self._handlers

    def on(self, event: str) -> Callable[[F], F]:
        """Register a handler.

        Args:
            event: an event's name; `connect` (socket, auth); `disconnect` (socket, reason); `*`
                (socket, event, *args) for every event without a handler.

        A `def` handler runs at once on the event loop, an `async def` handler as a task. What it
        returns is the client's ack: a tuple is several arguments, None is none, NO_ACK leaves the
        ack open. `connect` may raise ConnectError, or return False; who leaves while it runs gets
        no `disconnect`.

        Raises: ValueError for a name that cannot be handled or already is, TypeError for what is no
        name, or no function that can be a handler.
        """
        if not isinstance(event, str):
            raise TypeError(f'name the event, as in @app.on("message"): {event!r} is no str')
        if not event:
            raise ValueError('an event has a name, as in @app.on("message")')

        def register(function: F) -> F:
            self._declare().add(event, function)
            return function

        return register

    def middleware(self, function: F) -> F:
        """Register a function (socket, auth) that every client passes before `connect`, in order;
        it may raise ConnectError, or return False.
        """
        self._declare().add_middleware(function)
        return function

    def to(self, *rooms: str) -> Target:
        """Everyone in any of these rooms (str)."""
        return self._everyone().to(*rooms)

    def except_(self, *rooms: str) -> Target:
        """Everyone who is in none of these rooms (str)."""
        return self._everyone().except_(*rooms)

    @property
    def volatile(self) -> Target:
        """Everyone; what is emitted may be dropped for clients that cannot take it right now."""
        return self._everyone().volatile

    @property
    def local(self) -> Target:
        """Everyone on this worker."""
        return self._everyone().local

    def compress(self, on: bool) -> Target:
        """Everyone; `on` says whether frames may be compressed where the client negotiated it."""
        return self._everyone().compress(on)

    def cursor(self, value: str) -> Target:
        """Everyone; see Target.cursor."""
        return self._everyone().cursor(value)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event to everyone in this namespace; see Target.emit."""
        self._everyone().emit(event, *args)

    async def call(self, event: str, *args: Any, timeout: float = 60.0) -> list[Any]:
        """Send an event to everyone and wait for their acks; see Target.call."""
        return await self._everyone().call(event, *args, timeout=timeout)

    async def sockets(self) -> list[Socket | RemoteSocket]:
        """Everyone's sockets; see Target.sockets."""
        return await self._everyone().sockets()

    def _everyone(self) -> Target:
        return Target(self._running())

    def _running(self) -> RunningNamespace:
        hub = self._app.hub if self._app is not None else None
        if hub is None:
            raise RuntimeError(
                "the app is not running in this process: emit from a handler or from on_startup, "
                "or from another process with hocket.Emitter"
            )
        running = hub.addressed(self._name) if self._name else None
        if running is None:
            raise LookupError(
                f"{self._pattern!r} is a pattern: name one namespace, such as "
                "app.namespace('/room-1')"
            )
        return running


class App(Namespace):
    """A real-time server: events, namespaces, HTTP routes, settings.

    Args:
        ping_interval, ping_timeout, connect_timeout: seconds.
        max_payload: bytes.
        path: where Socket.IO clients connect.
        origins: web origins that may connect, and read what routes answer (CORS), besides the
            server's own; a list, or "*".
        recovery: not available yet.
        settings: any other row of the settings table.

    Raises: UsageError for an unknown or impossible setting.
    """

    runner: ClassVar[
        Callable[[App, Mapping[str, Any]], None]
    ]  # set in hocket/__init__.py: an instance runs apps, an app knows no instance

    def __init__(
        self,
        *,
        ping_interval: float = 25.0,
        ping_timeout: float = 20.0,
        connect_timeout: float = 45.0,
        max_payload: int = 1_000_000,
        path: str = "/socket.io",
        origins: Collection[str] | str | None = None,
        recovery: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(self, MAIN)
        self.given: dict[str, Any] = {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "connect_timeout": connect_timeout,
            "max_payload": max_payload,
            "path": path,
            "origins": origins,
            "recovery": recovery,
            **settings,
        }
        settings_table.load(self.given, environ={}, file=None)
        self.hub: Hub | None = None
        self.store: Store | None = None
        self.notifier: Notifier | None = None
        self.providers: list[Provider] = []
        self.templates: Templates | None = None
        self.static: dict[str, Handlers] = {MAIN: self._handlers}
        self.dynamic: dict[re.Pattern[str], Handlers] = {}
        self.routes = Routes()
        self.mounts: Mounts | None = None
        self.authenticator: Authenticator | None = None  # while it runs, where anybody is asked
        self.origins: Origins | None = None  # while it runs
        self.settings: Settings | None = None  # while it runs
        self.stops = False  # it takes no new clients any more
        # Clients are who they say they are, so none of them is told a user's notifications.
        self.has_guests = False
        # What the REST API adds.
        self.needs_identity = False  # also without a key or a function
        self.needs_data = False  # nothing of it can be answered without
        # Of Server-Sent Events to users, and what says a refusal there, given the request.
        self.event_paths: dict[str, Callable[[Request], Explain]] = {}
        self.body_limits: dict[str, BodyLimit] = {}  # by path, where it is not `max_payload`
        self.explain: ExplainError | None = None
        self.identify_hook: Callable[[Handshake], Any] | None = None
        self._handshake_hooks: list[Callable[[Handshake], Any]] = []
        self._errors = Throttle(MOST_LOGGED)
        self._error_hooks: list[Callable[..., Any]] = []
        self._startup_hooks: list[Callable[[], Any]] = []
        self._shutdown_hooks: list[Callable[[], Any]] = []

    # Declaring

    def namespace(self, name: str | re.Pattern[str]) -> Namespace:
        """A namespace by name, declared by this call; or all namespaces whose names a pattern
        matches in full. They have the pattern's handlers, but for those that were declared by name
        before it.

        Raises: ValueError for a name without a leading slash.
        """
        if isinstance(name, re.Pattern):
            return Namespace(self, "", self.dynamic.setdefault(name, Handlers()), name.pattern)
        if not name.startswith("/") or "," in name:
            raise ValueError(f"a namespace's name begins with a slash and has no comma: {name!r}")
        for pattern, handlers in self.dynamic.items():
            if name not in self.static and pattern.fullmatch(name):
                return Namespace(self, name, handlers, pattern.pattern)
        return Namespace(self, name, self.static.setdefault(name, Handlers()))

    def get(self, path: str) -> Callable[[F], F]:
        """Register a function for GET and HEAD on a path (Starlette's syntax: `/users/{id:int}`).

        It takes nothing or a `starlette.requests.Request`, and gives str, bytes, anything msgspec
        encodes as JSON, models of pydantic, None (204), or a Starlette Response.
        """
        return self._route("GET", path)

    def post(self, path: str) -> Callable[[F], F]:
        """As `get`, for POST."""
        return self._route("POST", path)

    def put(self, path: str) -> Callable[[F], F]:
        """As `get`, for PUT."""
        return self._route("PUT", path)

    def delete(self, path: str) -> Callable[[F], F]:
        """As `get`, for DELETE."""
        return self._route("DELETE", path)

    def _route(self, method: str, path: str) -> Callable[[F], F]:
        if not isinstance(path, str):
            raise TypeError(f'name the path, as in @app.{method.lower()}("/"): {path!r} is no str')

        def register(function: F) -> F:
            self.routes.add(method, path, function)
            return function

        return register

    def mount(self, path: str, app: AsgiApp) -> None:
        """Serve an ASGI application (FastAPI, Django, Starlette ...) under a path: its routes, its
        WebSocket routes, its lifespan. Routes of this App come first; of several mounts the one
        with the longest path that fits.

        Raises: ValueError for a path that is taken or does not begin with a slash, TypeError for
        what is no application.
        """
        if not callable(app):
            raise TypeError(f"an ASGI application can be called; {app!r} cannot")
        from hocket.transport.mounts import Mounts  # lazy: 5 ms of the start

        self.mounts = self.mounts or Mounts()
        self.mounts.add(path, app)

    def mount_wsgi(self, path: str, app: Callable[..., Any], threads: int = 10) -> None:
        """Serve a WSGI application (Flask, Django ...) under a path.

        Args:
            threads: requests that it may work on at a time; each takes a thread.

        Raises: as `mount`.
        """
        if not callable(app):
            raise TypeError(f"a WSGI application can be called; {app!r} cannot")
        from hocket.transport.wsgi import as_asgi  # lazy: only apps with a WSGI application pay

        self.mount(path, as_asgi(app, threads))

    def on_handshake(self, function: F) -> F:
        """Register a function (handshake) that is asked before a session opens; False or a
        ConnectError refuses it with HTTP 403.
        """
        check_arguments(function, "on_handshake", "handshake")
        self._handshake_hooks.append(function)
        return function

    def authenticate(self, function: F) -> F:
        """Register the function (handshake) that says who a client is, `def` or `async def`: a
        user's name (str; "" for somebody without one), or an Identity. None leaves it to the token
        that the client shows, where keys for tokens are set. ConnectError refuses.

        It is asked for every namespace before middleware and `connect`, and by the REST API. What
        it says is `socket.user`.

        Raises: ValueError for a second one.
        """
        if self.identify_hook is not None:
            raise ValueError("authenticate already has a function")
        check_arguments(function, "authenticate", "handshake")
        self.identify_hook = function
        return function

    def on_error(self, function: F) -> F:
        """Register a function (error, socket, event) for whatever a handler raises; it is logged in
        any case.
        """
        check_arguments(function, "on_error", "error", "socket", "event")
        self._error_hooks.append(function)
        return function

    def on_startup(self, function: F) -> F:
        """Register a function without arguments that runs before the first client is let in."""
        check_arguments(function, "on_startup")
        self._startup_hooks.append(function)
        return function

    def on_shutdown(self, function: F) -> F:
        """Register a function without arguments that runs when the server stops, after the clients
        have left.
        """
        check_arguments(function, "on_shutdown")
        self._shutdown_hooks.append(function)
        return function

    def provider(self, provider: Provider) -> None:
        """Push to devices through a provider of your own (see hocket.providers.base); one with the
        name of one that comes with Hocket takes its place.

        Raises: ValueError for a name that is taken.
        """
        if any(other.name == provider.name for other in self.providers):
            raise ValueError(f"there is a provider {provider.name!r} already")
        self.providers.append(provider)

    def template(
        self, name: str, *, title: str = "", body: str = "", html: str = "", locale: str = ""
    ) -> None:
        """Add a template of notifications, or one of its locales; see hocket.notify.templates.

        Args:
            title, body, html: Jinja; `html` is for email.
            locale: such as `de` or `en-GB`; "" is what others fall back to.

        Raises: UsageError when it is no template.
        """
        from hocket.notify.templates import Templates  # lazy: for apps with templates

        self.templates = self.templates or Templates()
        self.templates.add(name, title=title, body=body, html=html, locale=locale)

    # Notifying

    async def notify(self, audience: Audience, notification: Notification, *, key: str = "") -> Job:
        """Tell an audience something: clients that are connected at once, devices through their
        providers, and the inbox always. When this returns, it is on disk, and who is in the
        audience is decided.

        Args:
            key: idempotency key: within a day, the same call with the same key is accepted once,
                and answered with the same job.

        Raises: BadNotification (a HocketError) that says what is wrong, Conflict for a key that was
        used for something else, StoreError while it cannot be stored; RuntimeError without `data`.
        """
        return await self._notifying().notify(audience, notification, key)

    async def job(self, id: str) -> Job:
        """A notification that was accepted before, by its id (str).

        Raises: Conflict for an id that there is not, StoreError; RuntimeError without `data`.
        """
        return await self._notifying().jobs.find(id)

    def _notifying(self) -> Notifier:
        if self.notifier is None:
            why = (
                "notifications are kept in a folder: start with --data DIR, or App(data=DIR)"
                if self.hub is not None
                else "the app is not running yet: notify from a handler or from on_startup"
            )
            raise RuntimeError(why)
        return self.notifier

    # Running

    async def drain(self) -> None:
        """Wait until `emit` would not raise Overloaded."""
        if self.hub is not None:
            await self.hub.engine.room()

    def run(self, host: str | None = None, port: int | None = None) -> None:
        """Serve until SIGINT or SIGTERM.

        Args:
            host, port: as the settings of the same names (127.0.0.1 and 8080).

        Raises: RuntimeError in a running event loop, or in another thread than the main one.
        """
        type(self).runner(self, {"host": host, "port": port})

    # What an instance asks of an app

    def admit(self) -> Callable[[Handshake], Any] | None:
        """How a worker asks `on_handshake`; None if nobody wants to be asked."""
        return self._ask_hooks if self._handshake_hooks else None

    def _ask_hooks(self, handshake: Handshake) -> Any:
        for at, hook in enumerate(self._handshake_hooks):
            try:
                answer = copy_context().run(hook, handshake)
            except (Exception, asyncio.CancelledError) as error:
                return self._reason(error)
            if inspect.isawaitable(answer):
                return self._ask_hooks_later(handshake, answer, self._handshake_hooks[at + 1 :])
            if answer is False:
                return FORBIDDEN
        return None

    async def _ask_hooks_later(
        self, handshake: Handshake, answer: Any, rest: list[Callable[[Handshake], Any]]
    ) -> str | None:
        try:
            if await answer is False:
                return FORBIDDEN
            for hook in rest:
                answer = hook(handshake)
                if (await answer if inspect.isawaitable(answer) else answer) is False:
                    return FORBIDDEN
        except (Exception, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # the server stops; else it is something that the hook waited for
            return self._reason(error)
        return None

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, ConnectError):
            return error.message
        self.report(error, None, "handshake")
        return FORBIDDEN

    def report(self, error: BaseException, socket: Socket | None, event: str) -> None:
        """An error of a handler: to the log, and to `on_error`. Never raises."""
        where = {
            "event": event,
            "sid": socket.id if socket else None,
            "namespace": socket.namespace if socket else None,
        }
        if self._errors.admit():
            log.error("handler of %r failed", event, exc_info=error, extra=where)
        elif self._errors.skipped == 1:
            log.error("more than %d handlers failed in a second: no more is said", MOST_LOGGED)
        for hook in self._error_hooks:
            try:
                result = hook(error, socket, event)
                if inspect.iscoroutine(result) and self.hub is not None:
                    self.hub.engine.loop.spawn(_logged(result))
            except (Exception, asyncio.CancelledError):
                log.exception("on_error failed itself", extra=where)

    async def startup(self) -> None:
        await _run_hooks(self._startup_hooks)

    async def shutdown(self) -> None:
        """All of them, whatever one of them raises: the server ends all the same."""
        for hook in self._shutdown_hooks:
            try:
                await _run_hooks([hook])
            except Exception:
                log.exception("on_shutdown failed")
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                log.warning("on_shutdown awaited what was cancelled, and did not catch it")


async def _run_hooks(hooks: list[Callable[[], Any]]) -> None:
    for hook in hooks:
        result = hook()
        if inspect.isawaitable(result):
            await result


async def _logged(coroutine: Any) -> None:
    try:
        await coroutine
    except Exception:
        log.exception("on_error failed itself")
