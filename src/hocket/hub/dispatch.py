"""Runs handlers: in the order of a connection's events, with every error caught and every long hold
of the loop named.

A `def` handler runs at once. So does the first step of an `async def` handler, as a task: handlers
start in the order of their events, and what follows their first wait runs side by side. Each has
a context of its own (PEP 567): what it sets is nobody else's.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Final

from hocket.errors import DISMISSED, FORBIDDEN, ConnectError
from hocket.hub.calls import ack_args
from hocket.hub.connection import Connection, StandIn
from hocket.hub.engine import Loop
from hocket.hub.handlers import Handler
from hocket.hub.socket import Socket
from hocket.hub.starter import Waiting, drive, start
from hocket.protocol import socketio

log = logging.getLogger("hocket")

HOLD: Final = 0.05  # seconds that a handler may hold the loop before the watchdog names it
QUIET: Final = 1.0  # seconds between two such lines: the log must not make it worse


class NoAck:
    """The type of NO_ACK."""

    def __repr__(self) -> str:
        return "hocket.NO_ACK"


NO_ACK: Final = NoAck()

OnError = Callable[[BaseException, Socket | None, str], None]
Accept = Callable[[Socket], None]
Refuse = Callable[[Socket, ConnectError], None]


class Dispatcher:
    """Calls handlers.

    Args:
        loop: for tasks and the clock.
        on_error: gets every error of a handler, its socket and its event; it must not raise.
    """

    def __init__(self, loop: Loop, on_error: OnError) -> None:
        self._clock = loop.clock
        self._starter = loop.starter
        self._begin = loop.starter.begin
        self._current_task = loop.current_task
        self._on_error = on_error
        self._quiet_until = 0.0
        self._tells = log.isEnabledFor(logging.DEBUG)
        # What waits is held on to here; the event loop itself holds only tasks that are about to
        # run.
        self.tasks: set[asyncio.Task[None]] = set()

    def disconnect(self, socket: Socket, reason: str) -> None:
        """The socket has ended."""
        self.tell(socket, "disconnect", reason=reason)
        if (handler := socket.nsp.handlers.disconnect) is not None:
            self.event(socket, ["disconnect", reason], None, handler)

    def tell(self, socket: Socket, what: str, **more: Any) -> None:
        """A line for whoever looks for a mistake, where such are wanted."""
        if self._tells:
            log.debug(what, extra={"sid": socket.id, "namespace": socket.namespace, **more})

    def event(
        self, socket: Socket, data: list[Any], ack_id: int | None, handler: Handler | None = None
    ) -> None:
        """An event `[name, *arguments]`, by its handler: the one that is registered for it, unless
        told. Without one, nothing happens.
        """
        event, args = data[0], data
        if handler is not None or (handler := socket.nsp.handlers.events.get(event)) is not None:
            del args[0]
        elif (handler := socket.nsp.handlers.any_event) is None:
            self.tell(socket, "no handler", event=event)
            return
        clock = self._clock
        began = clock()
        try:
            handler.calls += 1
            if len(args) != handler.limit:
                args = handler.fit(args)
            result = copy_context().run(handler.function, socket, *args)
            if type(result) is types.CoroutineType:
                coroutine = result
                result = self._begin(coroutine)
                if type(result) is Waiting:
                    self._go_on(coroutine, result.awaited, handler, socket, event, ack_id)
                    return
        except (Exception, asyncio.CancelledError) as error:
            self._on_error(error, socket, event)
            return
        finally:
            held = clock() - began
            handler.seconds += held
            if held > HOLD:
                self._warn(held, handler)
        if ack_id is not None:
            self._acknowledge(socket, event, ack_id, result)

    def _go_on(
        self,
        coroutine: Coroutine[Any, Any, Any],
        awaited: Any,
        handler: Handler,
        socket: Socket,
        event: str,
        ack_id: int | None,
    ) -> None:
        """A handler has begun and waits: the rest of it."""
        socket.connection.running += 1

        async def rest(error: BaseException | None) -> None:
            step = functools.partial(self._watched, handler)
            driven = drive(coroutine, awaited, error, step)
            await self._rest(driven, socket, event, ack_id)

        self.tasks.add(self._starter.go_on(rest))

    async def _rest(
        self, driven: Awaitable[Any], socket: Socket, event: str, ack_id: int | None
    ) -> None:
        try:
            result = await driven
        except (Exception, asyncio.CancelledError) as raised:
            self._report(raised, socket, event)
        else:
            if ack_id is not None:
                self._acknowledge(socket, event, ack_id, result)
        finally:
            self._ended(socket.connection)

    def _ended(self, connection: Connection) -> None:
        """The current task is at its end."""
        if self.tasks and (task := self._current_task()) is not None:
            self.tasks.discard(task)
        connection.running -= 1
        if connection.held:
            connection.transport.resume(connection)

    def _report(self, error: BaseException, socket: Socket, event: str) -> None:
        """To `on_error`, unless it is the server, stopping, that cancelled the handler."""
        task = self._current_task()
        stopped = (
            task is not None and task.cancelling() and isinstance(error, asyncio.CancelledError)
        )
        if not stopped:
            self._on_error(error, socket, event)

    def _acknowledge(self, socket: Socket, event: str, ack_id: int, result: Any) -> None:
        if result is NO_ACK:
            return
        try:
            packet = socketio.encode(socketio.ACK, socket.nsp.name, ack_args(result), ack_id)
        except (TypeError, ValueError, RecursionError) as error:
            self._on_error(error, socket, event)
        else:
            socket.deliver(packet)

    def connect(
        self,
        socket: Socket,
        auth: dict[str, Any],
        accept: Accept,
        refuse: Refuse,
        guard: Handler | None = None,
    ) -> None:
        """The guard, middleware, then the `connect` handler, then `accept` or `refuse`: at once if
        none of them waits.
        """
        handlers = socket.nsp.handlers
        steps = handlers.entry if guard is None else [guard, *handlers.entry]
        if handlers.waits_at_entry:
            self._connect_soon(socket, auth, steps, accept, refuse)
            return
        context = copy_context()
        try:
            for at, step in enumerate(steps):
                _check_stays(socket)
                step.calls += 1
                began = self._clock()
                try:
                    result = context.run(step.function, socket, *step.fit([auth]))
                finally:
                    self._watch(began, step)
                if type(result) is types.CoroutineType:  # a `def` that gives what is to be awaited
                    rest = [_given(result, step), *steps[at + 1 :]]
                    self._connect_soon(socket, auth, rest, accept, refuse)
                    return
                _check(result)
        except (Exception, asyncio.CancelledError) as error:
            refuse(socket, self._refusal(error, socket))
        else:
            accept(socket)

    def _connect_soon(
        self,
        socket: Socket,
        auth: dict[str, Any],
        steps: list[Handler],
        accept: Accept,
        refuse: Refuse,
    ) -> None:
        socket.connection.running += 1
        task = start(self._starter, self._connect_task(socket, auth, steps, accept, refuse))
        if task is not None:
            self.tasks.add(task)

    async def _connect_task(
        self,
        socket: Socket,
        auth: dict[str, Any],
        steps: list[Handler],
        accept: Accept,
        refuse: Refuse,
    ) -> None:
        try:
            for step in steps:
                _check_stays(socket)
                step.calls += 1
                _check(await self._call(step, socket, *step.fit([auth])))
        except (Exception, asyncio.CancelledError) as error:
            refuse(socket, self._refusal(error, socket))
        else:
            accept(socket)
        finally:
            self._ended(socket.connection)

    def _refusal(self, error: BaseException, socket: Socket) -> ConnectError:
        """What the client is told: the ConnectError that was raised, or, of any other error,
        nothing but that there was one.
        """
        if isinstance(error, ConnectError):
            return error
        self._on_error(error, socket, "connect")
        return ConnectError("internal error")

    async def _call(self, handler: Handler, *args: Any) -> Any:
        """Call a handler of either kind, and wait for what it gives."""
        began = self._clock()
        try:
            result = handler.function(*args)
        finally:
            self._watch(began, handler)
        if type(result) is not types.CoroutineType:
            return result
        step = functools.partial(self._watched, handler)
        try:
            awaited = step(result.send, None)
        except StopIteration as stop:
            return stop.value
        return await drive(result, awaited, None, step)

    def _watched(self, handler: Handler, resume: Callable[[Any], Any], value: Any) -> Any:
        began = self._clock()
        try:
            return resume(value)
        finally:
            self._watch(began, handler)

    def _watch(self, began: float, handler: Handler) -> None:
        held = self._clock() - began
        handler.seconds += held
        if held > HOLD:
            self._warn(held, handler)

    def _warn(self, held: float, handler: Handler) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            log.warning(
                "handler %s held the event loop for %.0f ms, in which nobody else was served: "
                "make it `async def`, or move the work to a thread or process",
                handler.name,
                held * 1000,
                extra={"handler": handler.name, "held_ms": round(held * 1000)},
            )


def _check(result: Any) -> None:
    """False refuses, as it does in `on_handshake`. Raises ConnectError."""
    if result is False:
        raise ConnectError(FORBIDDEN)


def _check_stays(socket: Socket) -> None:
    """Who was sent away before its `connect` handler has begun is refused. Raises ConnectError."""
    if isinstance(socket.end, StandIn) and socket.end.leaves is not None:
        raise ConnectError(DISMISSED)


def _given(coroutine: Coroutine[Any, Any, Any], giver: Handler) -> Handler:
    """A handler for a coroutine that a `def` has made: what is left of it to do."""
    rest = Handler(lambda socket: coroutine)
    rest.name = giver.name
    return rest
