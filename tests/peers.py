"""Others that Hocket's providers talk to: an HTTP server that does whatever a test says, and pushes
to send it.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hocket.providers.base import Push
from hocket.settings import Settings, load


def settings(**given: Any) -> Settings:
    """As given, and open for peers on this machine."""
    return load({"allow_private_endpoints": True, **given}, environ={}, file=None)


def push(token: str = "t", **fields: Any) -> Push:
    """A push with something in every field."""
    return Push(
        **{
            "notification": "n1",
            "token": token,
            "user": "ada",
            "title": "Hello",
            "body": "The kettle boils",
            "data": {"room": "kitchen", "count": 3},
            "url": "https://example.com/kitchen",
            "icon": "https://example.com/icon.png",
            "ttl": 3600,
            "urgency": "high",
            "collapse_key": "kettle",
            **fields,
        }
    )


@dataclass
class Request:
    """What a peer was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Say = Callable[[Request], bytes | None]


def answer(status: int, body: bytes | str | dict[str, Any] = b"", *fields: str) -> bytes:
    """The bytes of an HTTP response; a dict goes as JSON."""
    if isinstance(body, dict):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *fields]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + data


HANG = b"<hang>"  # in place of an answer: nothing comes
RESET = b"<reset>"  # the connection is reset
DRIP = b"<drip>"  # an answer that never ends, a byte at a time
ENDLESS = b"<endless>"  # and one that does not end, as fast as it goes


@dataclass
class Peer:
    """An HTTP server. `says` gives the answer to each request."""

    says: Say
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader)
        self.requests.append(request)
        said = self.says(request) or answer(200)
        if said == HANG:
            await reader.read()
            return False
        if said == RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(1, 13, linger)  # SOL_SOCKET, SO_LINGER
            writer.transport.abort()
            return False
        if said == DRIP:
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        if said == ENDLESS:
            writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.write(said)
        await writer.drain()
        return True

    def end(self) -> None:
        for writer in self._writers:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


@asynccontextmanager
async def peer(says: Say) -> AsyncIterator[Peer]:
    """A server on this machine that answers as `says` does."""
    made = Peer(says)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        made.end()


def in_turn(*answers: bytes) -> Say:
    """These answers, one after the other, the last one again and again."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]
