"""What REST callers are told when something does not work: problem details (RFC 9457), with a
`code` for machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from hocket import errors
from hocket.errors import Denied, HocketError, HTTPError
from hocket.notify.service import BadNotification
from hocket.protocol.http1 import Field
from hocket.store.base import Conflict, StoreError

MEDIA: Final[Field] = (b"content-type", b"application/problem+json")


class Kind(NamedTuple):
    """A kind of problem: the status, and the title, which is the same for all of its kind."""

    status: int
    title: str


KINDS: Final = {
    "bad-json": Kind(400, "The body is not JSON"),
    "too-deep": Kind(400, "The body is nested too deep"),
    "bad-request": Kind(400, "The request cannot be read"),
    errors.TOKEN_REQUIRED: Kind(401, "A token or an API key is needed"),
    errors.TOKEN_EXPIRED: Kind(401, "The token has expired"),
    errors.TOKEN_EARLY: Kind(401, "The token is not valid yet"),
    errors.TOKEN_AUDIENCE: Kind(401, "The token is for another server"),
    errors.TOKEN_ISSUER: Kind(401, "The token is from another login"),
    errors.TOKEN_CLAIMS: Kind(401, "The token does not say what it must"),
    errors.NOT_ALLOWED: Kind(401, "You may not come in"),
    errors.KEY_INVALID: Kind(401, "The API key is not valid"),
    errors.KEY_REQUIRED: Kind(403, "This is for servers, with an API key"),
    errors.USER_REQUIRED: Kind(403, "This is for users, with their own token"),
    errors.SCOPE_MISSING: Kind(403, "The API key may not do this"),
    "forbidden": Kind(403, "The server, or the page's origin, does not let this in"),
    errors.CSRF_REQUIRED: Kind(403, "A change by cookie needs a CSRF token"),
    "not-yours": Kind(403, "A user's token is for that user's own things"),
    "not-found": Kind(404, "There is no such thing"),
    "method-not-allowed": Kind(405, "The path does not know this method"),
    "still-running": Kind(409, "The same request is still being worked on"),
    "finished": Kind(409, "It is over"),
    "too-many-devices": Kind(409, "The user has too many devices"),
    "too-large": Kind(413, "The body is too large"),
    "invalid": Kind(422, "The request does not say what it must"),
    "unknown-provider": Kind(422, "There is no such provider"),
    "bad-device-token": Kind(422, "This provider has no such device tokens"),
    "key-reused": Kind(422, "The Idempotency-Key was used for another request"),
    "internal": Kind(500, "Something went wrong here"),
    errors.KEYS_UNAVAILABLE: Kind(503, "The keys that sign tokens cannot be read now"),
    "busy": Kind(503, "Too many large requests are under way"),
    "store-unavailable": Kind(503, "The store cannot do it now"),
}
_OF_STATUS: Final = {
    401: errors.TOKEN_REQUIRED,
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    500: "internal",
    503: "busy",
}
_UNSHOWN: Final = (errors.TOKEN_REQUIRED, errors.NOT_ALLOWED)  # also of who has shown nothing
_AGAIN: Final = {"still-running": 1, errors.KEYS_UNAVAILABLE: 10, "store-unavailable": 1}  # seconds


class ProblemDetails(msgspec.Struct, frozen=True):
    """RFC 9457 section 3.1. `code`: which problem, for machines; `detail`: more, for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(HocketError):
    """This request is answered with a problem."""

    def __init__(self, code: str, detail: str = "", *fields: Field) -> None:
        super().__init__(detail)
        self.code = code
        self.fields = fields


def as_problem(error: Exception) -> Problem | None:
    """What a caller is told of an error; None: it is none that was meant."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Denied | Conflict):
        return Problem(error.code, str(error))
    if isinstance(error, BadNotification):
        return Problem("invalid", str(error))
    if isinstance(error, StoreError):
        return Problem("store-unavailable", "nothing was changed, or nothing was acknowledged")
    return None


def of_http(error: HTTPError) -> Problem:
    """What an HTTP error is that was made before an endpoint was asked."""
    return Problem(_OF_STATUS.get(error.status, "bad-request"), str(error))


def details(code: str, detail: str, status: int = 0) -> bytes:
    kind = KINDS[code]
    status = status or kind.status
    it = ProblemDetails(f"urn:hocket:problem:{code}", kind.title, status, detail, code)
    return msgspec.json.encode(it)


def challenge(error: str = "", scope: str = "") -> Field:
    """What a client needs that is not let in (RFC 6750 section 3).

    Args:
        error: what is wrong with what it has shown; empty: it has shown nothing, or no such thing.
        scope: one that would do.
    """
    given = {"realm": "hocket", "error": error, "scope": scope}
    said = ", ".join(f'{name}="{value}"' for name, value in given.items() if value)
    return b"www-authenticate", b"Bearer " + said.encode()


def bears(authorization: str) -> bool:
    """Whether an Authorization field shows a token or an API key, good or not."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def fields_of(problem: Problem, has_shown: bool) -> Iterable[Field]:
    """The header fields of a problem's answer.

    Args:
        has_shown: whether the caller has shown a token or an API key in the Authorization field.
    """
    yield MEDIA
    yield from problem.fields
    if KINDS[problem.code].status == 401:
        is_wrong = has_shown or problem.code not in _UNSHOWN
        yield challenge("invalid_token" if is_wrong else "")
    if (seconds := _AGAIN.get(problem.code)) is not None:
        yield b"retry-after", b"%d" % seconds


def schema_of(codes: Iterable[str]) -> dict[str, Any]:
    """The responses of an OpenAPI operation for these problems, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {KINDS[code].title}" for code in some),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/ProblemDetails"}
                }
            },
        }
        for status, some in sorted(by_status.items())
    }
