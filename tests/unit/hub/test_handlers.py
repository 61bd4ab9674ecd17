"""What a handler is, by its kind and its arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hocket.hub.handlers import Handler, Handlers
from hocket.hub.socket import Socket
from tests.unit.hub.fakes import handlers
from tests.unit.hub.world import World


def plain(socket: Socket, one: Any) -> None: ...
def defaults(socket: Socket, one: Any, two: Any = 2) -> None: ...
def star(socket: Socket, one: Any, *rest: Any) -> None: ...
def only_star(*everything: Any) -> None: ...
def with_keyword(socket: Socket, one: Any, *, more: bool = False) -> None: ...
def positional(socket: Socket, one: Any, /) -> None: ...
async def later(socket: Socket, one: Any) -> None: ...


class Methods:
    def bound(self, socket: Socket, one: Any) -> None: ...
    async def bound_later(self, socket: Socket, one: Any) -> None: ...
    @staticmethod
    def static(socket: Socket, one: Any) -> None: ...
    @staticmethod
    async def static_later(socket: Socket, one: Any) -> None: ...
    @classmethod
    def of_class(cls, socket: Socket, one: Any) -> None: ...
    def __call__(self, socket: Socket, one: Any) -> None: ...


class CalledLater:
    async def __call__(self, socket: Socket, one: Any) -> None: ...


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def checked(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """An async decorator of a function that may be a plain one."""

    @functools.wraps(function)
    async def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@pytest.mark.parametrize(
    ("function", "is_async", "required", "limit"),
    [
        (plain, False, 1, 1),
        (defaults, False, 1, 2),
        (star, False, 1, None),
        (only_star, False, 0, None),
        (with_keyword, False, 1, 1),
        (positional, False, 1, 1),
        (later, True, 1, 1),
        (Methods().bound, False, 1, 1),
        (Methods().bound_later, True, 1, 1),
        (Methods.static, False, 1, 1),
        (Methods.static_later, True, 1, 1),
        (vars(Methods)["static"], False, 1, 1),
        (vars(Methods)["static_later"], True, 1, 1),
        (Methods.of_class, False, 1, 1),
        (Methods(), False, 1, 1),
        (CalledLater(), True, 1, 1),
        (functools.partial(plain), False, 1, 1),
        (functools.partial(later), True, 1, 1),
        (functools.partial(defaults, two=5), False, 1, 1),
        (functools.partial(functools.partial(later)), True, 1, 1),
        (functools.partial(CalledLater()), True, 1, 1),
        (logged(plain), False, 1, 1),
        (logged(later), True, 1, 1),
        (lambda socket, *args: None, False, 0, None),
    ],
)
def test_kind_and_arguments(
    function: Callable[..., Any], is_async: bool, required: int, limit: int | None
) -> None:
    handler = Handler(function)
    assert (handler.is_async, handler.required, handler.limit) == (is_async, required, limit)


@pytest.mark.parametrize(
    ("function", "given", "taken"),
    [
        (plain, [1, 2, 3], [1]),
        (defaults, [1], [1]),
        (defaults, [1, 2, 3], [1, 2]),
        (star, [1, 2, 3], [1, 2, 3]),
        (only_star, [], []),
        (lambda socket: None, [1], []),
    ],
)
def test_extra_arguments_are_dropped(
    function: Callable[..., Any], given: list[int], taken: list[int]
) -> None:
    assert Handler(function).fit(given) == taken


@pytest.mark.parametrize("function", [plain, defaults, star, later, Methods().bound])
def test_a_missing_argument_is_an_error_that_names_the_handler(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(TypeError, match=rf"{function.__qualname__}\(\) needs 1 .* got 0"):
        Handler(function).fit([])


def test_an_argument_that_can_never_be_given_is_refused() -> None:
    def wrong(socket: Socket, *, needed: int) -> None: ...

    with pytest.raises(TypeError, match="'needed' can never be given"):
        Handler(wrong)
    for nothing in (lambda: None, lambda **fields: None):
        with pytest.raises(TypeError, match="the socket first"):
            Handler(nothing)


@pytest.mark.parametrize(
    "name", ["connect_error", "disconnecting", "newListener", "removeListener"]
)
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is reserved"):
        Handlers().add(name, plain)


@pytest.mark.parametrize("name", ["message", "connect", "disconnect", "*"])
def test_a_second_handler_is_refused_and_the_first_is_named(name: str) -> None:
    registered = handlers(**{name: plain})
    with pytest.raises(ValueError, match=rf"'{name.replace('*', '.')}' already .*: plain"):
        registered.add(name, later)


def test_whatever_has_no_handler_goes_to_the_star() -> None:
    heard: list[Any] = []
    registered = handlers(known=lambda socket, *args: heard.append(("known", *args)))
    registered.add("*", lambda socket, *args: heard.append(args))
    world = World(registered)
    socket = world.connect()
    for packet in ('42["known",1]', '42["other",1,2]', '42["alone"]'):
        world.say(socket, packet)
    assert heard == [("known", 1), ("other", 1, 2), ("alone",)]


# Who may come in must not hang on how the function that decides it was written.


def gatekeeper(calls: list[str]) -> dict[str, Callable[..., Any]]:
    async def refuse(socket: Socket, auth: Any) -> None:
        calls.append("asked")
        raise PermissionError

    def refuse_now(socket: Socket, auth: Any) -> None:
        calls.append("asked")
        raise PermissionError

    return {
        "async def": refuse,
        "partial": functools.partial(refuse),
        "lambda": lambda socket, auth: refuse(socket, auth),
        "async decorator of def": checked(refuse_now),
        "def decorator of async": logged(refuse),
    }


@pytest.mark.parametrize("kind", gatekeeper([]))
@pytest.mark.parametrize("step", ["connect", "middleware"])
def test_whoever_is_refused_stays_out_however_that_was_written(kind: str, step: str) -> None:
    calls: list[str] = []
    function = gatekeeper(calls)[kind]
    world = World()
    if step == "connect":
        world.handlers.add("connect", function)
    else:
        world.handlers.add_middleware(function)
    connection = world.transport.open()
    world.engine.receive_text(connection, b"40")
    for _ in range(5):
        world.loop.turn()
    assert calls == ["asked"]
    assert world.transport.texts(connection.fd) == ['44{"message":"internal error"}']
    assert connection.sockets == ()
