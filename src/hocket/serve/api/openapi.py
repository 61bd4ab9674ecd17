"""The API's description, OpenAPI 3.1, made from the table and the types in it."""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec

from hocket.identity.keys import SCOPES
from hocket.notify.live import MAX_CURSOR
from hocket.serve.api.endpoint import Endpoint
from hocket.serve.api.problems import ProblemDetails, schema_of
from hocket.serve.api.table import EVENTS, TABLE, USUAL

EVENT_PROBLEMS: Final = (
    "token-required",
    "token-expired",
    "token-early",
    "token-audience",
    "token-issuer",
    "token-claims",
    "not-allowed",
    "user-required",
    "forbidden",
    "invalid",
    "keys-unavailable",
)  # of /v1/events
REF: Final = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"{(\w+)}")


@lru_cache(1)
def document() -> dict[str, Any]:
    """The whole document."""
    schemas, components = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in TABLE:
        operation = _operation(endpoint, schemas)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    paths[EVENTS] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hocket",
            "version": "1",
            "description": "Notifications: devices, topics, inbox. Errors are problem details "
            "(RFC 9457) with a `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, for servers; scopes: "
                    + "; ".join(f"`{name}`: {text}" for name, text in SCOPES.items()),
                },
                "user": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A user's token, for that user's own things. Also as a cookie; "
                    "a change then needs the header `X-CSRF-Token`, see `/v1/csrf`.",
                },
            },
        },
    }


def _schemas() -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Every type of the table as a schema, and the components that these refer to."""
    types: list[Any] = [ProblemDetails]
    for endpoint in TABLE:
        types += [kind for kind in (endpoint.body, *endpoint.answers.values()) if kind is not None]
    types = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    return dict(zip(types, schemas, strict=True)), components


def _operation(endpoint: Endpoint, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.run.__name__,
        "summary": endpoint.summary,
        "security": [
            *([{"key": []}] if endpoint.scopes else []),
            *([{"user": []}] if endpoint.users else []),
        ],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": _responses(endpoint, schemas),
    }
    for name, text in endpoint.headers.items():
        schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"}
        operation["parameters"].append(
            {"name": name, "in": "header", "description": text, "schema": schema}
        )
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": not endpoint.optional,
            "content": {"application/json": {"schema": schemas[endpoint.body]}},
        }
    return operation


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in _IN_PATH.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(endpoint.query)
    properties = schema["$defs"][endpoint.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]


def _responses(endpoint: Endpoint, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    good = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            **({"content": {"application/json": {"schema": schemas[kind]}}} if kind else {}),
        }
        for status, kind in endpoint.answers.items()
    }
    return {**good, **schema_of(problems_of(endpoint))}


def problems_of(endpoint: Endpoint) -> list[str]:
    """The codes that an endpoint may answer with."""
    codes = [*USUAL, "invalid"]
    if endpoint.scopes:
        codes += ["key-invalid", "scope-missing"]
    else:
        codes.append("user-required")
    if not endpoint.users:
        codes.append("key-required")
    elif endpoint.method != "GET":
        codes.append("csrf-required")
    if endpoint.body is not None:
        codes += ["bad-json", "too-deep", "too-large"]
        codes += [] if endpoint.users else ["busy"]
    return [*codes, *endpoint.problems]


def _events() -> dict[str, Any]:
    return {
        "operationId": "events",
        "summary": "Listen to your notifications, as Server-Sent Events. `data:` is a JSON array "
        "with one object: of `event: notification` what is told, with `id:`, the cursor to come "
        "back with; of `inbox` what another client of yours has marked (`what`, `ids`); of "
        "`token-expired` a `code`, and then the stream ends. `hocket serve` also sends `welcome`. "
        "Others are the app's own.",
        "security": [{"user": []}],
        "parameters": [
            {
                "name": "after",
                "in": "query",
                "description": "the cursor (`seq`) of the last one that was seen; this or the "
                "header",
                "schema": {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_CURSOR},
            },
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "the cursor of the last one that was seen",
                "schema": {"type": "string"},
            },
        ],
        "responses": {
            "200": {"description": "OK", "content": {"text/event-stream": {"schema": {}}}},
            **schema_of(EVENT_PROBLEMS),
        },
    }
