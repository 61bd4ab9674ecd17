"""WSGI applications as ASGI ones: a2wsgi, and what it leaves open."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from a2wsgi import WSGIMiddleware

from hocket.transport.asgi import QUEUE, AsgiApp, Message, Scope

LINK: Final = "hocket.link"

WsgiApp = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class Link:
    """One request's `receive` and `send`, for an application in a thread of a2wsgi's, which would
    take a body that breaks off for a whole one, and wait for ever once `send` has raised.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._receive = receive
        self._send = send
        self._failure: Exception | None = None
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has gone")
        return message

    def wait(self) -> Message:
        """As `receive`, for the thread."""
        return asyncio.run_coroutine_threadsafe(self.receive(), self._loop).result()

    async def send(self, message: Message) -> None:
        if self._failure is None:
            try:
                await self._send(message)
            except Exception as error:
                self._failure = error

    def check(self) -> None:
        """Raises what `send` could not."""
        if self._failure is not None:
            raise self._failure


class Input(io.RawIOBase):
    """A request's body, for an application in a thread; io.BufferedReader makes lines of it. That
    of a2wsgi gives `readline(n)` nothing before it is read, and fails at `readlines()` of nothing.

    Args:
        receive: takes the next part, and raises when the client has gone.
    """

    def __init__(self, receive: Callable[[], Message]) -> None:
        self._receive = receive
        self._part = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        """What one message brings, or what of that is left."""
        while not self._part and self._more:
            message = self._receive()
            self._part = memoryview(message.get("body", b""))
            self._more = bool(message.get("more_body"))
        size = min(len(into), len(self._part))
        into[:size] = self._part[:size]
        self._part = self._part[size:]
        return size


class Start:
    """One response's `start_response`, before that of a2wsgi, which sends a head at once: PEP 3333
    lets an application that fails replace it until the body begins. `check` raises when nobody is
    there to hear any more.
    """

    def __init__(self, start_response: Callable[..., Any], check: Callable[[], None]) -> None:
        self._start_response = start_response
        self._check = check
        self._head: tuple[str, Any] | None = None
        self._write: Callable[[bytes], Any] | None = None  # once the head is out

    def __call__(
        self, status: str, headers: Any, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is None and self._head is not None:
            raise AssertionError("start_response was called before, and no error since")
        if exc_info is not None and self._write is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        self._head = status, headers
        return self.write

    def write(self, part: bytes) -> None:
        self._check()
        self.begin()(part)

    def begin(self) -> Callable[[bytes], Any]:
        """Let the head out."""
        if self._head is None:
            raise AssertionError("start_response was not called")
        if self._write is None:
            self._write = self._start_response(*self._head)
        return self._write

    def parts(self, given: Iterable[bytes]) -> Iterator[bytes]:
        """What the application gives, behind its head."""
        for part in given:
            self._check()
            if part:
                self.begin()
                yield part
        self.begin()


def as_asgi(app: WsgiApp, threads: int) -> AsgiApp:
    """`app` for a server that speaks ASGI, with so many threads to run in."""

    def linked(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        link: Link = environ["asgi.scope"][LINK]
        if "CONTENT_LENGTH" not in environ:
            environ["wsgi.input_terminated"] = True  # or Flask finds chunked bodies empty
        environ["wsgi.input"] = io.BufferedReader(Input(link.wait), QUEUE)
        environ["wsgi.errors"] = sys.stderr
        start = Start(start_response, link.check)
        parts = app(environ, start)
        try:
            yield from start.parts(parts)
        finally:
            getattr(parts, "close", _nothing)()

    run: Any = linked  # a2wsgi types environ as a TypedDict
    middleware: Any = WSGIMiddleware(run, workers=threads)

    async def asgi(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await middleware(scope, receive, send)
            return
        link = Link(receive, send)
        # `X_User` would be the same variable as `X-User`, which a proxy may have set: as gunicorn
        # and nginx do, leave it out.
        headers = [field for field in scope["headers"] if b"_" not in field[0]]
        await middleware({**scope, "headers": headers, LINK: link}, link.receive, link.send)
        link.check()

    return asgi


def _nothing() -> None:
    """For an iterable without `close`."""
