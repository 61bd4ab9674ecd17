"""A mistake in what a program declares is said where it is made, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from hocket import App, Socket


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
