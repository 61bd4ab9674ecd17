"""Runs handlers: in the order of a connection's events, with every error caught and every long hold
of the loop named.

A `def` handler runs at once. An `async def` handler runs as a task; where the task's first step
comes a loop turn later (before Python 3.12), a following `def` handler of the same connection waits
its turn as a task too: tasks begin in the order of their making.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

from hocket.errors import ConnectError
from hocket.hub.calls import ack_args
from hocket.hub.connection import Connection
from hocket.hub.engine import Loop
from hocket.hub.handlers import Handler
from hocket.hub.socket import Socket
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
        self._new_task = loop.new_task
        self._current_task = loop.current_task
        self._on_error = on_error
        self._quiet_until = 0.0
        # What waits is held on to here; the event loop itself holds only tasks that are about to
        # run. (A callback on the task's end would cost 1 us of the 10 that an event takes.)
        self.tasks: set[asyncio.Task[None]] = set()

    def event(self, socket: Socket, data: list[Any], ack_id: int | None) -> None:
        """An event `[name, *arguments]` from a client. Without a handler for it, nothing
        happens.
        """
        handlers, event = socket.nsp.handlers, data[0]
        handler = handlers.events.get(event)
        if handler is not None:
            del data[0]
        elif (handler := handlers.any_event) is None:
            return
        self._start(handler, socket, event, data, ack_id)

    def disconnect(self, socket: Socket, reason: str) -> None:
        """The socket has ended."""
        if (handler := socket.nsp.handlers.disconnect) is not None:
            self._start(handler, socket, "disconnect", [reason], None)

    def _start(
        self, handler: Handler, socket: Socket, event: str, args: list[Any], ack_id: int | None
    ) -> None:
        try:
            args = handler.fit(args)
        except TypeError as error:
            self._on_error(error, socket, event)
            return
        handler.calls += 1
        connection = socket.connection
        if handler.is_async or connection.starting:
            task = self._event_task(handler, socket, event, args, ack_id)
            self._start_task(connection, task)
        else:
            self._event_now(handler, socket, event, args, ack_id)

    def _start_task(self, connection: Connection, coroutine: Coroutine[Any, Any, None]) -> None:
        connection.starting += 1
        connection.running += 1
        self._new_task(coroutine)

    def _event_now(
        self, handler: Handler, socket: Socket, event: str, args: list[Any], ack_id: int | None
    ) -> None:
        began = self._clock()
        try:
            result = handler.function(socket, *args)
        except (Exception, asyncio.CancelledError) as error:
            self._on_error(error, socket, event)
            return
        finally:
            self._watch(began, handler)
        if type(result) is types.CoroutineType:  # a `def` that gives what an `async def` made
            task = self._event_task(_given(result, handler), socket, event, [], ack_id)
            self._start_task(socket.connection, task)
        elif ack_id is not None:
            self._acknowledge(socket, event, ack_id, result)

    async def _event_task(
        self, handler: Handler, socket: Socket, event: str, args: list[Any], ack_id: int | None
    ) -> None:
        connection = socket.connection
        connection.starting -= 1
        try:
            result = await self.call(handler, socket, *args)
        except (Exception, asyncio.CancelledError) as error:
            self._report(error, socket, event)
        else:
            if ack_id is not None:
                self._acknowledge(socket, event, ack_id, result)
        finally:
            self._ended(connection)

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

    def connect(self, socket: Socket, auth: dict[str, Any], accept: Accept, refuse: Refuse) -> None:
        """Middleware, then the `connect` handler, then `accept` or `refuse`: at once if all of them
        are `def`.
        """
        handlers = socket.nsp.handlers
        steps = handlers.entry
        if not socket.connection.starting and not handlers.waits_at_entry:
            self._connect_now(socket, auth, steps, accept, refuse)
        else:
            task = self._connect_task(socket, auth, steps, accept, refuse)
            self._start_task(socket.connection, task)

    def _connect_now(
        self,
        socket: Socket,
        auth: dict[str, Any],
        steps: list[Handler],
        accept: Accept,
        refuse: Refuse,
    ) -> None:
        try:
            for at, step in enumerate(steps):
                result = self._step(step, socket, auth)
                if type(result) is types.CoroutineType:  # a `def` that gives what is to be awaited
                    rest = [_given(result, step), *steps[at + 1 :]]
                    task = self._connect_task(socket, auth, rest, accept, refuse)
                    self._start_task(socket.connection, task)
                    return
        except (Exception, asyncio.CancelledError) as error:
            refuse(socket, self._refusal(error, socket))
        else:
            accept(socket)

    def _step(self, step: Handler, socket: Socket, auth: dict[str, Any]) -> Any:
        step.calls += 1
        began = self._clock()
        try:
            return step.function(socket, *step.fit([auth]))
        finally:
            self._watch(began, step)

    async def _connect_task(
        self,
        socket: Socket,
        auth: dict[str, Any],
        steps: list[Handler],
        accept: Accept,
        refuse: Refuse,
    ) -> None:
        socket.connection.starting -= 1
        try:
            for step in steps:
                step.calls += 1
                await self.call(step, socket, *step.fit([auth]))
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

    @types.coroutine
    def call(self, handler: Handler, *args: Any) -> Generator[Any, Any, Any]:
        """Call a handler of either kind; of a coroutine, drive it as `await` does. Watches how long
        each step holds the loop.
        """
        began = self._clock()
        value: Any = None
        try:
            result = handler.function(*args)
            if type(result) is not types.CoroutineType:
                return result
            try:
                awaited = result.send(None)
            except StopIteration as stop:
                return stop.value
        finally:
            self._watch(began, handler)
        self._hold_on()
        resume: Callable[[Any], Any]
        while True:
            try:
                resume, value = result.send, (yield awaited)
            except GeneratorExit:
                result.close()
                raise
            except BaseException as error:
                resume, value = result.throw, error
            began = self._clock()
            try:
                awaited = resume(value)
            except StopIteration as stop:
                return stop.value
            finally:
                self._watch(began, handler)

    def _hold_on(self) -> None:
        """The current task is about to wait."""
        if (task := self._current_task()) is not None:
            self.tasks.add(task)

    def _watch(self, began: float, handler: Handler) -> None:
        now = self._clock()
        held = now - began
        handler.seconds += held
        if held > HOLD and now >= self._quiet_until:
            self._quiet_until = now + QUIET
            log.warning(
                "handler %s held the event loop for %.0f ms, in which nobody else was served: "
                "make it `async def`, or move the work to a thread or process",
                handler.name,
                held * 1000,
                extra={"handler": handler.name, "held_ms": round(held * 1000)},
            )


def _given(coroutine: Coroutine[Any, Any, Any], giver: Handler) -> Handler:
    """A handler for a coroutine that a `def` has made: what is left of it to do."""
    rest = Handler(lambda socket: coroutine)
    rest.name = giver.name
    return rest
