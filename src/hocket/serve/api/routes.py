"""From a request to an endpoint and back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from hocket.app import App
from hocket.errors import NOT_ALLOWED, HTTPError
from hocket.hub.handshake import Handshake
from hocket.identity.credentials import KEY_PREFIX
from hocket.protocol.http1 import Field, Request
from hocket.serve.api.door import admit
from hocket.serve.api.endpoint import Call, Endpoint, Name, Reply
from hocket.serve.api.openapi import document
from hocket.serve.api.problems import (
    KINDS,
    Problem,
    as_problem,
    bears,
    details,
    fields_of,
    of_http,
)
from hocket.serve.api.table import EVENTS, TABLE
from hocket.transport.http import BodyLimit, Explain
from hocket.transport.routes import Answer
from hocket.transport.sse import Explain as ExplainRefusal

log = logging.getLogger("hocket")

_ALWAYS: Final[tuple[Field, ...]] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_KEY: Final = b"bearer " + KEY_PREFIX.encode()  # how an Authorization field shows an API key
_JSON: Final[Field] = (b"content-type", b"application/json")
_PREFLIGHT: Final[tuple[Field, ...]] = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, idempotency-key, last-event-id, x-csrf-token",
    ),
    (b"access-control-max-age", b"600"),
)


def add_routes(app: App) -> None:
    """All of the table, its description, and the events."""
    app.needs_identity = app.needs_data = True
    app.event_paths[EVENTS] = _refuser
    app.explain = _explainer(app)
    for endpoint in TABLE:
        app.routes.add(endpoint.method, endpoint.path, _handler(app, endpoint))
        if endpoint.body is not None and "{" not in endpoint.path:
            limit = BodyLimit(endpoint.limit, b"" if endpoint.users else _KEY)
            app.body_limits[endpoint.path] = max(limit, app.body_limits.get(endpoint.path, limit))
    for path in {endpoint.path: None for endpoint in TABLE}:
        app.routes.add("OPTIONS", path, _preflight(app))
    described = msgspec.json.encode(document())
    fields = (_JSON, *_ALWAYS, (b"access-control-allow-origin", b"*"))
    app.get("/v1/openapi.json")(lambda: Answer(200, fields, described))


def _explainer(app: App) -> Explain:
    """Says errors that no endpoint made, as endpoints say theirs: pages may read them too."""

    def explain(request: Request | None, error: HTTPError) -> tuple[Iterable[Field], bytes] | None:
        if request is None or not request.path.startswith("/v1/"):
            return None
        problem = of_http(error)
        cors = app.origins.headers(request) if app.origins is not None else ()
        fields = (*fields_of(problem, _has_shown(request)), *_ALWAYS, *cors)
        return fields, details(problem.code, str(error), error.status)

    return explain


def _has_shown(request: Request) -> bool:
    return bears(request.get(b"authorization").decode("latin-1"))


def _refuser(request: Request) -> ExplainRefusal:
    """A refused `connect` as a problem: what listeners to `/v1/events` are told."""

    def refuse(payload: bytes) -> tuple[int, list[Field], bytes]:
        error = msgspec.json.decode(payload)
        answer = _answer(_problem_of(error), _has_shown(request), ())
        return answer.status, list(answer.fields), answer.body

    return refuse


def _problem_of(error: dict[str, Any]) -> Problem:
    """That of a CONNECT_ERROR, or of an error of Engine.IO's, which has a number."""
    data, message = error.get("data"), str(error.get("message", ""))
    if "code" in error:
        return Problem("forbidden", message)
    code = data.get("code") if isinstance(data, dict) else None
    return Problem(code if isinstance(code, str) and code in KINDS else NOT_ALLOWED, message)


def _handler(app: App, endpoint: Endpoint) -> Callable[[Any], Coroutine[Any, Any, Answer]]:
    async def handle(request: Any) -> Answer:
        cors = _cors(app, request)
        try:
            reply = await _run(app, endpoint, request)
            body = b"" if reply.value is None else msgspec.json.encode(reply.value)
            fields = (*reply.fields, *([_JSON] if body else ()))
            return Answer(reply.status, (*fields, *_ALWAYS, *cors), body)
        except Exception as error:
            problem = as_problem(error)
            if problem is None:
                log.exception("the endpoint %s %s failed", endpoint.method, endpoint.path)
                problem = Problem("internal")
            return _answer(problem, bears(request.headers.get("authorization", "")), cors)

    return handle


def _answer(problem: Problem, has_shown: bool, cors: Iterable[Field]) -> Answer:
    fields = (*fields_of(problem, has_shown), *_ALWAYS, *cors)
    body = details(problem.code, str(problem))
    return Answer(msgspec.json.decode(body)["status"], fields, body)


async def _run(app: App, endpoint: Endpoint, request: Any) -> Reply:
    """Who calls is asked before anything is looked at that they have sent. It is here by then, so
    only who shows an API key may send more than `max_payload` (`HttpTransport.limits`).
    """
    handshake = _handshake(request)
    who = await admit(app, endpoint, handshake)
    call = Call(
        app,
        who,
        {name: _name(name, value) for name, value in request.path_params.items()},
        read_query(endpoint, request.scope["query_string"].decode("latin-1")),
        read_body(endpoint, await request.body()),
        handshake.headers,
        handshake.secure,
    )
    result = await endpoint.run(call)
    if isinstance(result, Reply):
        return result
    return Reply(204 if result is None else 200, result)


def _handshake(request: Any) -> Handshake:
    """The request's head, as those of sockets are kept, and when it is served."""
    scope = request.scope
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    lines = [b"%b: %b\r\n" % field for field in scope["headers"]]
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (scope["method"].encode(), target, b"".join(lines))
    return Handshake(head, scope["client"][0], time.time(), scope["scheme"] == "https")


def _name(name: str, value: str) -> str:
    try:
        return msgspec.convert(value, Name)
    except msgspec.ValidationError as error:
        raise Problem("invalid", f"{name} in the path: {error}") from None


def read_query(endpoint: Endpoint, query: str) -> Any:
    """A query, as the endpoint wants it. Raises Problem."""
    try:
        found = parse_qsl(query, keep_blank_values=True, max_num_fields=100, errors="strict")
        pairs = dict(found)
        return msgspec.convert(pairs, endpoint.query, strict=False)
    except ValueError as error:  # also msgspec's
        raise Problem("invalid", f"in the query: {error}") from None


def read_body(endpoint: Endpoint, body: bytes) -> Any:
    """A body, as the endpoint wants it. Raises Problem."""
    if endpoint.body is None or (endpoint.optional and not body):
        return None
    if len(body) > endpoint.limit:
        raise Problem("too-large", f"the body is over {endpoint.limit} bytes")
    try:
        return msgspec.json.decode(body, type=endpoint.body)
    except msgspec.ValidationError as error:
        raise Problem("invalid", str(error)) from None
    except RecursionError:
        raise Problem("too-deep", "the body is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("bad-json", str(error)) from None


def _cors(app: App, request: Any) -> list[Field]:
    if app.origins is None:
        return []
    return app.origins.cors_for(request.headers.get("origin", ""), request.headers.get("host", ""))


def _preflight(app: App) -> Callable[[Any], Answer]:
    def answer(request: Any) -> Answer:
        cors = _cors(app, request)
        return Answer(204, (*cors, *(_PREFLIGHT if cors else ())), b"")

    return answer
