"""HTTP requests to others, within limits: how long one may take, how much of an answer is read, how
many connections there are. No redirect is followed, no cookie kept, no proxy of the environment
used. aiohttp does the talking; this is what all providers over HTTP/1.1 share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from hocket.providers.base import Failed, Outcome, Retry
from hocket.providers.guard import BlockedError, open_socket

MAX_ANSWER: Final = 16_384  # bytes; errors are short, and nothing else is read
MAX_WAIT: Final = 86_400.0  # seconds that a Retry-After may ask for
CONNECT_TIMEOUT: Final = 10.0  # seconds
SHOWN: Final = 200  # characters of an answer that are worth keeping
AGAIN: Final = frozenset((408, 425, 429))  # client errors that another time may mend


class Answer(msgspec.Struct, frozen=True):
    """A response: its status, headers (any case) and the first 16 KiB of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body's beginning, for an error message."""
        text = self.body[: 4 * SHOWN].decode(errors="replace")
        return "".join(char if char.isprintable() else " " for char in text).strip()[:SHOWN]

    @property
    def retry_after(self) -> float | None:
        return retry_after(self.headers.get("Retry-After", ""), time.time())


class UnreachableError(Exception):
    """No answer. `blocked`: and there is not going to be one, the address is refused."""

    def __init__(self, why: str, blocked: bool = False) -> None:
        super().__init__(why)
        self.blocked = blocked

    @property
    def outcome(self) -> Outcome:
        return Failed(str(self)) if self.blocked else Retry(str(self))


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, a day at most; None for what is not one.

    `now`: seconds since 1970. Source: RFC 9110 sections 10.2.3 (a number, or a date) and 5.6.7 (a
    date is UTC also in the form that names no zone).
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_WAIT)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
        return min(max(date.timestamp() - now, 0.0), MAX_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None


def judge(answer: Answer, says: str = "") -> Outcome:
    """What an answer that is no success means where nothing special is agreed on: 5xx and a few
    client errors pass, every other one is final. A redirect is final too: none is followed.
    """
    error = f"HTTP {answer.status} {says or answer.text}".rstrip()
    if answer.status >= 500 or answer.status in AGAIN:
        return Retry(error, answer.retry_after)
    return Failed(error)


class Client:
    """POST, over connections that are kept. Who asks bounds the time, as `Limits.timeout` does for
    all that a provider sends: a timer more for each request costs 10 % (benchmark `webpush`).

    Args:
        connections: at most so many at a time.
        public_only: connect to public addresses only, for URLs that users supply.
    """

    def __init__(self, connections: int, public_only: bool) -> None:
        self._connections = connections
        self._public_only = public_only
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request.

        Raises: UnreachableError.
        """
        session = self._session or self._open()
        try:
            # Encoded: what was checked is what is asked for, and nothing is spelled anew.
            where = URL(url, encoded=True)
            response = await session.post(where, data=body, headers=headers, allow_redirects=False)
            if response.content.at_eof():
                return Answer(response.status, response.headers, b"")
            async with response:
                return Answer(response.status, response.headers, await _beginning(response))
        except BlockedError as error:
            raise UnreachableError(str(error.strerror), blocked=True) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, BlockedError):
                raise UnreachableError(str(error.os_error.strerror), blocked=True) from None
            raise UnreachableError(f"cannot connect: {error.os_error}") from None
        except aiohttp.InvalidURL:
            raise UnreachableError("the URL cannot be asked", blocked=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}"[:SHOWN]) from None

    def _open(self) -> aiohttp.ClientSession:
        factory: Callable[[Any], Any] | None = open_socket if self._public_only else None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, socket_factory=factory),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # transports close on the loop's next turn
            self._session = None


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """What there is of a body, up to the bound; a connection with more to come is given up."""
    content, length = response.content, response.content_length
    if content.at_eof():
        return b""
    if length is not None and length <= MAX_ANSWER:
        return await response.read()
    body = bytearray()
    while chunk := await content.read(MAX_ANSWER - len(body)):
        body += chunk
        if len(body) >= MAX_ANSWER:
            response.close()
            break
    return bytes(body)
