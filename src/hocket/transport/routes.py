"""The user's plain HTTP routes: `@app.get("/")`."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from hocket.errors import HTTPError
from hocket.hub.declaring import check_function, name_of, takes
from hocket.hub.engine import Loop
from hocket.protocol.encoding import encode_json
from hocket.protocol.http1 import Field, Request, keep_field, response
from hocket.transport.http import ALLOWS, HttpTransport
from hocket.transport.origins import Origins
from hocket.transport.refusals import refusal_of
from hocket.transport.stream import HttpStream

if TYPE_CHECKING:
    from hocket.transport.asgi import AsgiApp

log = logging.getLogger("hocket")


class Answer(NamedTuple):
    """A whole response, for routes that need a status or headers and no Starlette."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
_BYTES = ((b"content-type", b"application/octet-stream"),)
_JSON = ((b"content-type", b"application/json"),)


def _answer(result: Any) -> tuple[int, tuple[Field, ...], bytes]:
    """What a function returned, as a response: by its type."""
    if isinstance(result, str):
        return 200, _TEXT, result.encode()
    if isinstance(result, bytes):
        return 200, _BYTES, result
    if result is None:
        return 204, (), b""
    return 200, _JSON, encode_json(result)


# What stands for itself in a path as routes compare it: visible ASCII, but for what separates
# segments and what begins an escape.
_PLAIN = frozenset(chr(code) for code in range(0x21, 0x7F)) - {"/", "%"}
_SAFE = "".join(_PLAIN) + "/"
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def comparable(path: str) -> str:
    """A request's path in the one form of all that are equivalent (RFC 3986 section 6.2.2): what
    need not be escaped is not. An escaped slash is data, not a separator (section 2.2).
    """
    return _ESCAPE.sub(_unescape, path) if "%" in path else path


def _unescape(escape: re.Match[str]) -> str:
    char = chr(int(escape[0][1:], 16))
    return char if char in _PLAIN else escape[0].upper()


class Route:
    """A path and a function. `wants_request` when the function takes an argument: a
    `starlette.requests.Request`.
    """

    __slots__ = ("convertors", "function", "is_custom", "method", "pattern", "wants_request")

    def __init__(self, method: str, path: str, function: Callable[..., Any]) -> None:
        if not path.startswith("/"):
            raise ValueError(f"a path begins with a slash: {path!r}")
        check_function(function, "a route")
        self.method = method
        self.function = function
        self.wants_request = bool(_arguments(path, function))
        self.pattern: re.Pattern[str] | None = None
        self.convertors: dict[str, Any] = {}
        self.is_custom = False  # it has a convertor of the app's own, which reads decoded text
        if "{" in path:
            from starlette.routing import (
                compile_path,
            )  # lazy: only apps with parameters in a path pay for the import

            _, _, self.convertors = compile_path(path)
            own = (type(each).__module__ for each in self.convertors.values())
            self.is_custom = any(module != "starlette.convertors" for module in own)
            self.pattern, _, _ = compile_path(path if self.is_custom else quote(path, _SAFE))

    def match(self, path: str) -> re.Match[str] | None:
        """Of a comparable path, with the parameters' text: decoded where a convertor of the app's
        own says what it is.
        """
        if self.pattern is None:
            return None
        return self.pattern.match(unquote(path) if self.is_custom else path)


def _arguments(path: str, function: Callable[..., Any]) -> list[str]:
    """The one that it is called with, or none. Raises TypeError for others: what the path says is
    looked for among them.
    """
    signature = inspect.signature(function)
    names = list(signature.parameters)
    if not names or (
        takes(function, names[0]) and not re.search(rf"{{{re.escape(names[0])}[:}}]", path)
    ):
        return names
    raise TypeError(
        f"a route takes nothing or the request, and not {name_of(function)}{signature}: what the "
        'path says is in request.path_params, as in request.path_params["id"] for /users/{id}'
    )


class Routes:
    """All routes of an app."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: list[Route] = []

    def add(self, method: str, path: str, function: Callable[..., Any]) -> None:
        """Raises ValueError for a path that has a function for the method already."""
        route = Route(method, path, function)
        if route.pattern is not None:
            self._patterns.append(route)
        elif method in (fixed := self._fixed.setdefault(quote(path, _SAFE), {})):
            raise ValueError(f"{method} {path} already has a handler")
        else:
            fixed[method] = route

    def has(self, method: str, path: str) -> bool:
        """Whether there is a route for exactly this, also one that will refuse it (400)."""
        try:
            self.find(method, path)
        except HTTPError as error:
            return error.status == 400
        return True

    def find(self, method: str, path: str) -> tuple[Route, dict[str, Any]]:
        """The route for a request, and the parameters in its path; HEAD is answered by GET. Raises
        HTTPError 400, 404, 405.
        """
        method = "GET" if method == "HEAD" else method
        path = comparable(path)
        if (route := self._fixed.get(path, {}).get(method)) is not None:
            return route, {}
        for route in self._patterns:
            match = route.match(path)
            if match and route.method == method:
                return route, _parameters(route, match)
        if allowed := self.methods(path):
            raise HTTPError(405, "method not allowed", (b"allow", allowed))
        raise HTTPError(404, "not found")

    def methods(self, path: str) -> bytes:
        """What a comparable path may be asked with, as Allow says it; empty: it is not there."""
        allowed = [
            *self._fixed.get(path, {}),
            *(route.method for route in self._patterns if route.match(path)),
        ]
        if "GET" in allowed:
            allowed.append("HEAD")
        return ", ".join(dict.fromkeys(allowed)).encode()


def _parameters(route: Route, match: re.Match[str]) -> dict[str, Any]:
    """What a path says for a route. Raises HTTPError 404 for a value that is none of its kind, such
    as an int of 5,000 digits, which Python does not read; 400 for one that is not UTF-8: replaced,
    it would be another's.
    """
    try:
        return {
            name: route.convertors[name].convert(
                value if route.is_custom else unquote(value, errors="strict")
            )
            for name, value in match.groupdict().items()
        }
    except UnicodeDecodeError:
        raise HTTPError(400, "the path is not UTF-8") from None
    except ValueError:
        raise HTTPError(404, "not found") from None


class RouteRunner:
    """Calls the functions of routes and answers with what they return.

    Args:
        loop: the worker's.
        http: where answers go.
        routes: the app's.
        origins: which pages may read answers.
    """

    def __init__(self, loop: Loop, http: HttpTransport, routes: Routes, origins: Origins) -> None:
        self._loop = loop
        self._http = http
        self._routes = routes
        self._origins = origins if origins.names_others else None
        self._now = -1
        self._date_field: Field = (b"date", b"")
        http.date = lambda: (self.date(),)
        http.cors = self._cors

    @property
    def answers_preflights(self) -> bool:
        """Whether pages of other origins may read answers at all."""
        return self._origins is not None

    def __call__(self, stream: HttpStream, request: Request, body: bytes) -> None:
        try:
            route, params = self._routes.find(request.method, request.path)
        except HTTPError:
            if request.method != "OPTIONS" or not self._is_preflight(stream, request):
                raise
            return
        try:
            given = (_starlette(stream, request, body, params),) if route.wants_request else ()
            result = copy_context().run(route.function, *given)  # what it sets is nobody else's
            if isinstance(result, Coroutine):
                self._loop.spawn(self._later(stream, request, body, result))
            elif hasattr(result, "render"):
                self._loop.spawn(self._render(stream, request, body, result))
            else:
                self._http.answer(stream, self._response(request, result))
        except HTTPError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            self._fail(stream, request, error)

    async def _later(
        self, stream: HttpStream, request: Request, body: bytes, coroutine: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            result = await coroutine
            if hasattr(result, "render"):
                await self._render(stream, request, body, result)
            else:
                self._http.answer(stream, self._response(request, result))
        except (Exception, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # the server stops; else it is something that the route waited for
            self._fail(stream, request, error)

    def _response(self, request: Request, result: Any) -> bytes:
        if isinstance(result, Answer):  # the REST API's, which says itself who may read it
            status, fields, body = result
        else:
            status, fields, body = _answer(result)
            if self._origins is not None:
                fields = (*fields, *self._cors(request))
        if request.has(b"if-none-match") and _has_it(request, status, fields):
            status, body = 304, b""
        return response(
            status,
            (self.date(), *fields, *keep_field(request)),
            body,
            head_only=request.method == "HEAD",
            close=not request.keep_alive,
        )

    def _is_preflight(self, stream: HttpStream, request: Request) -> bool:
        """A page asks whether it may send what it wants to: whether that was answered."""
        if self._origins is None or not request.has(b"access-control-request-method"):
            return False
        methods = self._routes.methods(comparable(request.path))
        fields = self._origins.preflight(request, methods)
        if not methods or not fields:
            return False
        fields = [self.date(), *fields, *keep_field(request)]
        self._http.answer(stream, response(204, fields, close=not request.keep_alive))
        return True

    def _cors(self, request: Request) -> list[Field]:
        """For a page of another origin. Caches are told that not everybody gets the same."""
        if self._origins is None:
            return []
        return self._origins.headers(request) or [(b"vary", b"origin")]

    def date(self) -> Field:
        """The Date header (RFC 9110 section 6.6.1), made once a second: it takes 5 us."""
        now = int(self._loop.wall_clock())
        if now != self._now:
            self._now, self._date_field = now, (b"date", http_date(now).encode())
        return self._date_field

    async def _render(self, stream: HttpStream, request: Request, body: bytes, answer: Any) -> None:
        """A Starlette Response is an application of its own."""
        from hocket.transport.asgi import (  # lazy: only routes that give Responses pay for it
            Exchange,
            scope_of,
        )

        exchange = Exchange(self._http, stream, request, self.date)
        exchange.feed(body, True)
        shown = answer if self._origins is None else _with(self._cors(request), answer)
        await exchange.run(shown, scope_of(stream, request))

    def _fail(self, stream: HttpStream, request: Request, error: BaseException) -> None:
        answer = refusal_of(error)
        if answer is None:
            log.exception(
                "a route failed",
                exc_info=error,
                extra={"method": request.method, "path": request.path},
            )
            answer = HTTPError(500, "internal error")
        if stream.busy:
            self._http.answer(stream, self._http.error_response(answer, request))


def _with(fields: list[Field], answer: AsgiApp) -> AsgiApp:
    """A Response with further header fields, unless it says itself which pages may read it."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                said = message.get("headers", ())
                if all(name.lower() != ALLOWS for name, _ in said):
                    message = {**message, "headers": [*said, *fields]}
            await send(message)

        await answer(scope, receive, say)

    return run


def _has_it(request: Request, status: int, fields: tuple[Field, ...]) -> bool:
    """Whether the client has this very answer (RFC 9110 section 13.1.2)."""
    tags = [value for name, value in fields if name == b"etag"]
    known = [each.strip().removeprefix(b"W/") for each in request.get(b"if-none-match").split(b",")]
    return status == 200 and bool(tags) and (tags[0] in known or known == [b"*"])


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(seconds: float) -> str:
    """RFC 9110 section 5.6.7, in English whatever the locale. (Importing the library's `formatdate`
    takes 5 ms of the start.)
    """
    at = time.gmtime(seconds)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year}"
    return f"{day} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"


def _starlette(stream: HttpStream, request: Request, body: bytes, params: dict[str, Any]) -> Any:
    from starlette.requests import (
        Request as StarletteRequest,
    )  # lazy: only handlers that take a request pay for the import

    from hocket.transport.asgi import scope_of  # lazy: as above

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return StarletteRequest({**scope_of(stream, request), "path_params": params}, receive)
