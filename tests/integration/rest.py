"""A server with the REST API, and those who call it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from hocket import App, add_api
from hocket.identity.keys import make_key
from hocket.store.base import AddKey
from tests.support import Answer, Site, ask, serving

SECRET = "s" * 32


def token(user: str, lifetime: float = 60.0) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + lifetime}, SECRET, algorithm="HS256")


@dataclass
class Caller:
    """Whoever shows these header fields."""

    site: Site
    fields: tuple[str, ...] = ()

    async def __call__(self, method: str, path: str, body: Any = None, *fields: str) -> Answer:
        data = b"" if body is None else body if isinstance(body, bytes) else _json(body)
        return await ask(self.site, method, path, *self.fields, *fields, body=data)

    async def get(self, path: str, *fields: str) -> Any:
        answer = await self("GET", path, None, *fields)
        assert answer.status == 200, answer
        assert answer["content-type"] == "application/json"
        return answer.json


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def refusal(answer: Answer) -> tuple[int, str]:
    """The status and code of a problem that is told as it must be."""
    assert answer["content-type"] == "application/problem+json", answer
    told = answer.json
    assert set(told) == {"type", "title", "status", "detail", "code"}
    assert told["status"] == answer.status
    assert told["type"] == f"urn:hocket:problem:{told['code']}"
    return answer.status, told["code"]


@dataclass
class Rest:
    """A site, and how to become somebody."""

    site: Site

    def user(self, name: str) -> Caller:
        return Caller(self.site, (f"Authorization: Bearer {token(name)}",))

    def bearer(self, text: str) -> Caller:
        return Caller(self.site, (f"Authorization: Bearer {text}",))

    @property
    def nobody(self) -> Caller:
        return Caller(self.site)

    async def key_text(self, *scopes: str) -> str:
        text, row = make_key("test", scopes, 0.0)
        assert self.site.app.store is not None
        await self.site.app.store.do(AddKey(row))
        return text

    async def key(self, *scopes: str) -> Caller:
        return self.bearer(await self.key_text(*scopes))

    async def send(self, *users: str, title: str = "hello", **more: Any) -> str:
        """A notification's id."""
        server = await self.key("notify")
        audience = {"users": list(users)} if users else {"all": True}
        body = {"audience": audience, "notification": {"title": title, **more}}
        answer = await server("POST", "/v1/notifications", body)
        assert answer.status == 202, answer
        return str(answer.json["id"])


@asynccontextmanager
async def rest(directory: Path, app: App | None = None, **settings: Any) -> AsyncIterator[Rest]:
    app = app or App()
    add_api(app)
    settings = {"secret": SECRET, "data": str(directory), **settings}
    async with serving(app, **settings) as site:
        yield Rest(site)
