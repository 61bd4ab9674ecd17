"""A mistake in what a program declares is said where it is made, with what to write instead."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from hocket import App, Socket
from tests.support import WebSocketClient, ask, asynchronous, serving


def plain(socket: Socket) -> None: ...
def gives(socket: Socket) -> Iterator[int]:
    yield 1


async def gives_later(socket: Socket) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda app: app.on(plain), 'name the event, as in @app.on("message")'),
        (lambda app: app.on(3), "3 is no str"),
        (lambda app: app.namespace("/a").on(plain), 'as in @app.on("message")'),
        (lambda app: app.get(plain), 'name the path, as in @app.get("/")'),
        (lambda app: app.post(plain), 'name the path, as in @app.post("/")'),
        (lambda app: app.mount("/x", None), "an ASGI application can be called; None cannot"),
        (lambda app: app.mount_wsgi("/x", "site"), "a WSGI application can be called; 'site'"),
        (lambda app: app.on("event")(3), "a handler is a function, not 3"),
        (lambda app: app.middleware("x"), "a handler is a function, not 'x'"),
        (lambda app: app.on_handshake(3), "on_handshake is a function, not 3"),
        (lambda app: app.on_error("x"), "on_error is a function, not 'x'"),
        (lambda app: app.on_startup(None), "on_startup is a function, not None"),
        (lambda app: app.on_shutdown(None), "on_shutdown is a function, not None"),
        (lambda app: app.authenticate(3), "authenticate is a function, not 3"),
        (lambda app: app.get("/")("hello"), "a route is a function, not 'hello'"),
        (lambda app: app.on("event")(gives), "gives yields: nothing of it would run"),
        (lambda app: app.on("event")(gives_later), "gives_later yields: nothing of it would run"),
        (lambda app: app.on_startup(gives_later), "on_startup does its work and returns"),
        (lambda app: app.get("/")(gives), "gives yields"),
    ],
)
def test_what_cannot_be_declared(declare: Callable[[App], Any], said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        declare(App())


def test_an_event_has_a_name() -> None:
    with pytest.raises(ValueError, match="an event has a name"):
        App().on("")


def nothing() -> None: ...
def one(a: Any) -> None: ...
def two(a: Any, b: Any) -> None: ...
def three(a: Any, b: Any, c: Any) -> None: ...
def named(request: Any, *, id: str) -> None: ...
def in_path(id: Any) -> None: ...
def anything(*arguments: Any) -> None: ...
def optional(a: Any = 1, b: Any = 2, c: Any = 3, d: Any = 4) -> None: ...


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda app: app.on("connect")(three), "def connect(socket, auth)"),
        (lambda app: app.on("disconnect")(three), "def disconnect(socket, reason)"),
        (lambda app: app.middleware(three), "def middleware(socket, auth)"),
        (lambda app: app.on_error(one), "def on_error(error, socket, event)"),
        (lambda app: app.on_startup(one), "def on_startup()"),
        (lambda app: app.on_shutdown(one), "def on_shutdown()"),
        (lambda app: app.on_handshake(nothing), "def on_handshake(handshake)"),
        (lambda app: app.authenticate(two), "def authenticate(handshake)"),
        (lambda app: app.get("/q/{id}")(two), "request.path_params"),
        (lambda app: app.get("/q/{id}")(in_path), "request.path_params"),
        (lambda app: app.get("/q/{id:int}")(in_path), "request.path_params"),
        (lambda app: app.post("/q")(named), "request.path_params"),
    ],
)
def test_arguments_that_will_not_be_given(declare: Callable[[App], Any], said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        declare(App())


@pytest.mark.parametrize("function", [anything, optional])
def test_whatever_can_be_called_may_be_declared(function: Callable[..., Any]) -> None:
    app = App()
    for declare in (
        app.on("connect"), app.on("disconnect"), app.on("event"), app.middleware, app.on_error,
        app.on_startup, app.on_shutdown, app.on_handshake, app.authenticate, app.get("/q/{id}"),
    ):  # fmt: skip
        declare(function)


def injecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds an argument."""

    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args, "db")

    return inner


def listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that makes something of what is yielded."""

    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return list(function(*args))

    return inner


@types.coroutine
def awaitable(socket: Socket) -> Iterator[int]:
    yield 1


@asynchronous
async def test_what_is_called_counts_not_what_it_wraps() -> None:
    app, seen = App(), list[Any]()
    app.on_startup(injecting(seen.append))
    app.on_handshake(injecting(lambda handshake, db: seen.append(db)))
    app.middleware(injecting(lambda socket, auth, db: seen.append(db)))
    app.on("connect")(injecting(lambda socket, auth, db: seen.append(db)))
    app.on("list")(listing(gives))
    app.on("awaitable")(awaitable)
    app.get("/route/{id}")(injecting(lambda request, db: db + request.path_params["id"]))
    app.get("/list")(listing(lambda: iter([1])))
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        assert seen == ["db"] * 4
        await client.say('421["list"]')
        assert await client.text() == "431[[1]]"
        assert (await ask(site, "GET", "/route/7")).body == b"db7"
        assert (await ask(site, "GET", "/list")).body == b"[1]"
