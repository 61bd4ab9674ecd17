"""Handlers: what the user registered, looked at once, so that calling it needs no more looking."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from hocket.hub.declaring import check_function, name_of, takes, underlying, wrong_arguments
from hocket.protocol.socketio import RESERVED

ANY_EVENT: Final = "*"
# Names that a client cannot send and that have a meaning of their own here; the other reserved ones
# cannot be handled or emitted.
# With what each is given behind the socket.
LIFE_CYCLE: Final = {"connect": "auth", "disconnect": "reason"}


class Handler:
    """A function and how many event arguments it takes: `required` up to `limit` (None: any
    number), behind the socket. `calls`: how often it was called; `seconds`: for how long it held
    the event loop, all together.
    """

    __slots__ = ("calls", "function", "is_async", "limit", "name", "required", "seconds")

    def __init__(self, function: Callable[..., Any], leading: int = 1) -> None:
        check_function(function, "a handler")
        self.function = function
        self.name = name_of(function)
        self.is_async = inspect.iscoroutinefunction(underlying(function))
        self.required, self.limit = _arity(inspect.signature(function), leading)
        self.calls = 0
        self.seconds = 0.0

    def fit(self, arguments: list[Any]) -> list[Any]:
        """The arguments it is called with: extra ones are dropped. Raises TypeError when a required
        one is missing.
        """
        if len(arguments) == self.limit:
            return arguments
        if len(arguments) < self.required:
            raise TypeError(
                f"{self.name}() needs {self.required} argument(s) and got {len(arguments)}"
            )
        return arguments if self.limit is None else arguments[: self.limit]


def _arity(signature: inspect.Signature, leading: int) -> tuple[int, int | None]:
    required, limit, unlimited = -leading, -leading, False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            unlimited = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            limit += 1
            required += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise TypeError(
                f"{parameter.name!r} can never be given: a handler's arguments are positional"
            )
    if limit < 0 and not unlimited:
        raise TypeError(f"a handler takes at least {leading} argument(s): the socket first")
    return max(required, 0), None if unlimited else limit


class Handlers:
    """All that is registered for one namespace, or for one pattern of names.

    `entry` is what a client passes on its way in, in order: middleware, then `connect`;
    `waits_at_entry` whether any of it is `async def`.
    """

    def __init__(self) -> None:
        self.events: dict[str, Handler] = {}
        self.middleware: list[Handler] = []
        self.connect: Handler | None = None
        self.disconnect: Handler | None = None
        self.any_event: Handler | None = None
        self.entry: list[Handler] = []
        self.waits_at_entry = False

    def add(self, event: str, function: Callable[..., Any]) -> None:
        """Register `function` for an event. Raises ValueError for a name that cannot be handled or
        already is, TypeError for a function that cannot be called for it.
        """
        if event in LIFE_CYCLE:
            self._once(event, event, function, LIFE_CYCLE[event])
            self._set_entry()
        elif event == ANY_EVENT:
            self._once("any_event", event, function)
        elif event in RESERVED:
            raise ValueError(f"{event!r} is reserved by Socket.IO and never arrives")
        elif event in self.events:
            raise ValueError(f"{event!r} already has a handler: {self.events[event].name}")
        else:
            self.events[event] = Handler(function)

    def add_middleware(self, function: Callable[..., Any]) -> None:
        self.middleware.append(_step(function, "middleware", "auth"))
        self._set_entry()

    def all(self) -> Iterator[tuple[str, Handler]]:
        """Every handler of events, by the event."""
        yield from self.events.items()
        for event, handler in (
            ("connect", self.connect),
            ("disconnect", self.disconnect),
            (ANY_EVENT, self.any_event),
        ):
            if handler is not None:
                yield event, handler

    def _once(self, field: str, event: str, function: Callable[..., Any], given: str = "") -> None:
        if (before := getattr(self, field)) is not None:
            raise ValueError(f"{event!r} already has a handler: {before.name}")
        setattr(self, field, _step(function, event, given) if given else Handler(function))

    def _set_entry(self) -> None:
        self.entry = [*self.middleware, *([self.connect] if self.connect else [])]
        self.waits_at_entry = any(step.is_async for step in self.entry)


def _step(function: Callable[..., Any], name: str, given: str) -> Handler:
    """A handler of what no client sends: what it is given is known."""
    handler = Handler(function)
    if handler.required > 1 and takes(function, "socket", given):  # its decorator does
        outer = inspect.signature(function, follow_wrapped=False)
        handler.required, handler.limit = _arity(outer, 1)
    if handler.required > 1:
        raise wrong_arguments(function, name, "socket", given)
    return handler
