"""An Endpoint: one row of the API's table. Routes, OpenAPI and the reference page come from it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

import msgspec

from hocket.app import App
from hocket.identity.model import Identity
from hocket.protocol.http1 import Field
from hocket.serve.api.problems import Problem
from hocket.store.base import Operation, Store, StoreError

T = TypeVar("T")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
PAGE: Final = 100  # items of a page, unless asked for otherwise
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000, description="items of a page")]


# A query's parameter that may be left out. (With None in its type, the text "null" would be one.)
LeftOut = msgspec.UnsetType


def given(value: T | LeftOut) -> T | None:
    """A parameter, or None where it was left out."""
    return None if isinstance(value, LeftOut) else value


class Nothing(msgspec.Struct, frozen=True):
    """No parameters."""


@dataclass(frozen=True)
class Reply:
    """An answer: the status, what becomes its JSON body (None: no body), more header fields."""

    status: int
    value: Any = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Call:
    """A request that may be answered.

    `path`: the parameters in the path; `query`, `body`: as the endpoint declares them.
    """

    app: App
    who: Identity
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]
    secure: bool

    async def do(self, operation: Operation[T]) -> T:
        """Carry out an operation of the store."""
        return await self.store.do(operation)

    @property
    def store(self) -> Store:
        if self.app.store is None:
            raise StoreError("there is no store: start with --data DIR")
        return self.app.store

    @property
    def now(self) -> float:
        return time.time()

    def own(self, user: str | None) -> str:
        """Whose things are meant: a user's own, a key's caller must say. Raises Problem."""
        if self.who.how == "key":
            if user is None:
                raise Problem("invalid", "with an API key, `user` says whose")
            return user
        if user not in (None, self.who.user):
            raise Problem("not-yours", "your token is for your own things")
        return self.who.user


Run = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Endpoint:
    """A method and a path.

    `scopes`: API keys with any of them may; none: keys may not. `users`: users may, by their own
    token. `body`, `query`: types; `optional`: the body may be left out. `answers`: the type of the
    body by status, None for none. `problems`: codes, besides those that every endpoint may give.
    """

    method: str
    path: str
    run: Run
    summary: str
    scopes: tuple[str, ...] = ()
    users: bool = False
    body: Any = None
    optional: bool = False
    query: type[msgspec.Struct] = Nothing
    answers: Mapping[int, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    limit: int = 65_536  # bytes of the body


def endpoint(method: str, path: str, **details: Any) -> Callable[[Run], Endpoint]:
    """Make an Endpoint of a function; the first line of its docstring is the summary."""

    def make(run: Run) -> Endpoint:
        summary = " ".join((run.__doc__ or "").split())
        return Endpoint(method, path, run, summary, **details)

    return make
