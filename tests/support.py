"""What the tests of a running server share: a loop for each test, a server that can be looked into,
and a client that is bytes over TCP and knows nothing of Hocket's own parsers.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import itertools
import json
import logging
import os
import re
import socket as sockets
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, ParamSpec, Self

import uvloop

from hocket import App
from hocket.broker.roles import WORKER
from hocket.instance.handover import Giver, Heir
from hocket.instance.worker import Worker
from hocket.settings import Settings, load
from hocket.testing import serve

P = ParamSpec("P")

TEST: Final = 60.0  # seconds after which a test that waits has failed
WAIT: Final = 20.0  # seconds that one thing may take; only failing tests need them

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
SEPARATOR: Final = "\x1e"
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def asynchronous(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """An `async def` test: run in an event loop of its own, the one that Hocket uses."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(TEST):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(limited())

    return run


async def eventually(condition: Callable[[], object], within: float = WAIT) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "what the test waited for did not happen"
        await asyncio.sleep(0.005)


async def turns(count: int = 3) -> None:
    """Let everything that is ready in the event loop, the server included, have its turn."""
    for _ in range(count):
        await asyncio.sleep(0)


# A server


class Alarms(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@dataclass
class Site:
    """A server in the test's own event loop, and what may be looked at in it."""

    url: str
    app: App
    worker: Worker
    alarms: Alarms = field(default_factory=Alarms)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def host(self) -> str:
        """As it stands in the Host header."""
        return self.url.removeprefix("http://")

    @property
    def open_files(self) -> int:
        """Client connections that the server holds, of whatever kind."""
        return len(self.worker.reactor)

    @property
    def sessions(self) -> int:
        return len(self.worker.engine.connections)


@asynccontextmanager
async def serving(
    app: App, make_worker: Callable[[App, Settings], Worker] = Worker, **settings: Any
) -> AsyncIterator[Site]:
    """Serve `app` as `hocket.testing.serve` does, with a way to look at its worker."""
    made: list[Worker] = []

    def make(app: App, settings: Settings) -> Worker:
        made.append(make_worker(app, settings))
        return made[0]

    log = logging.getLogger("hocket")
    alarms = Alarms()
    log.addHandler(alarms)
    try:
        async with serve(app, make, **settings) as url:
            yield Site(url, app, made[0], alarms)
    finally:
        log.removeHandler(alarms)


# Several workers


class _Member(Worker):
    """A worker that knows, before it starts, that it is one of several."""

    def __init__(self, number: int, app: App, settings: Settings) -> None:
        super().__init__(app, settings)
        self.join_others(number, WORKER)


def member(number: int, app: App, **settings: Any) -> Worker:
    """One of several, not started yet."""
    given = {**app.given, "port": 0, **settings}
    return _Member(number, app, load(given, environ={}, file=None))


@asynccontextmanager
async def serving_together(
    make_app: Callable[[], App], count: int = 2, **settings: Any
) -> AsyncIterator[list[Site]]:
    """Workers of one instance, all in the test's own event loop: each with its app from `make_app`
    and, so that a test can choose its worker, a port of its own.
    """
    async with AsyncExitStack() as stack:
        sites: list[Site] = []
        for number in range(count):
            make = functools.partial(_Member, number)
            sites.append(await stack.enter_async_context(serving(make_app(), make, **settings)))
        for one, other in itertools.combinations(range(count), 2):
            link(sites[one].worker, sites[other].worker)
        yield sites


def link(one: Worker, other: Worker) -> None:
    """As the supervisor does when a worker is ready."""
    assert one.broker is not None
    assert other.broker is not None
    ends = sockets.socketpair()
    one.broker.link(other.number, ends[0])
    other.broker.link(one.number, ends[1])


@asynccontextmanager
async def succeeding(
    site: Site,
    app: App,
    limit: float = 30.0,
    just_before: Callable[[], object] = lambda: None,
    **settings: Any,
) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    """A new worker with `app` takes the place of a site's, as at a reload; it, and the task that
    ends when the old one has nothing left to do.
    """
    old, listener = site.worker, site.worker.entrance.listener
    assert listener is not None
    listener = listener.dup()
    new = member(old.number, app, **settings)
    new.takes_over = True
    await new.prepare()
    ends = sockets.socketpair()
    took = asyncio.Event()
    Heir(new, ends[0], took.set, lambda: None)
    giver = Giver(old, ends[1])

    async def give() -> None:
        await giver.give(limit)
        await giver.part()

    giving = asyncio.create_task(give())
    just_before()  # in the turn before everything moves
    try:
        await asyncio.wait_for(took.wait(), WAIT)
        new.open(listener)
        site.worker = new
        yield new, giving
        await giving
    finally:
        await new.stop()


# A client


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    version: str
    fields: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """The field's value; of a repeated field a failure, for none an empty text."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) < 2, f"{name} stands {len(values)} times in the response"
        return values[0] if values else ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gone(Exception):
    """The server closed the connection where more was expected."""


def head(host: str, target: str, method: str = "GET", *fields: str, version: str = "1.1") -> bytes:
    """A request head; `fields` are whole lines."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *fields]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    length: int | None = None,
) -> bytes:
    """A client's WebSocket frame, right or (with `mask=None`, `reserved`, `length`) wrong."""
    size = len(payload) if length is None else length
    masked = 0 if mask is None else 0x80
    first = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        start = first + bytes([masked | size])
    elif size < 1 << 16:
        start = first + bytes([masked | 126]) + struct.pack("!H", size)
    else:
        start = first + bytes([masked | 127]) + struct.pack("!Q", size)
    if mask is None:
        return start + payload
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return start + mask + mixed.to_bytes(len(payload), "big")


class Wire:
    """One TCP connection to the server. It reads only when it is asked to."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._socket = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
        self._socket.setblocking(False)
        self._buffer = bytearray()
        self.ended = False

    @classmethod
    async def to(cls, site: Site | str, receive_buffer: int = 0) -> Self:
        """Connect to a server. `receive_buffer`: bytes that the kernel keeps for us."""
        host = (site if isinstance(site, str) else site.url).removeprefix("http://")
        wire = cls(host)
        if receive_buffer:
            wire._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        name, _, port = host.rpartition(":")
        await asyncio.get_running_loop().sock_connect(wire._socket, (name, int(port)))
        return wire

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """This side's."""
        port: int = self._socket.getsockname()[1]
        return port

    # Bytes

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(WAIT):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def end_sending(self) -> None:
        """Close this side (TCP FIN) and go on reading."""
        self._socket.shutdown(sockets.SHUT_WR)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._socket.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def _more(self) -> None:
        async with asyncio.timeout(WAIT):
            data = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 18)
        if not data:
            self.ended = True
            self.close()
            raise Gone(bytes(self._buffer))
        self._buffer += data

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def up_to(self, mark: bytes) -> bytes:
        """What comes up to `mark`, with it."""
        while (end := self._buffer.find(mark)) < 0:
            await self._more()
        return await self.exactly(end + len(mark))

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        try:
            while True:
                await self._more()
        except Gone:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data

    async def is_closed(self) -> bool:
        """Wait for the server to close the connection; whether it did so and said nothing more."""
        return await self.rest() == b""

    # HTTP

    async def request(
        self, method: str, target: str, *fields: str, body: bytes = b"", version: str = "1.1"
    ) -> Answer:
        """A request and its response."""
        with_body = bool(body) or method in ("POST", "PUT")
        lines = [*fields, f"Content-Length: {len(body)}"] if with_body else fields
        await self.send(head(self.host, target, method, *lines, version=version) + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """The next response."""
        lines = (await self.up_to(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        version, status = lines[0].split(" ")[:2]
        answer = Answer(int(status), version.removeprefix("HTTP/"), _fields(lines[1:]), b"")
        if method != "HEAD" and answer.status >= 200 and answer.status not in (204, 304):
            answer.body = await self._body(answer)
        return answer

    async def _body(self, answer: Answer) -> bytes:
        if answer["transfer-encoding"] == "chunked":
            assert not answer["content-length"]
            return b"".join([chunk async for chunk in self._chunks()])
        if answer["content-length"]:
            return await self.exactly(int(answer["content-length"]))
        return await self.rest()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.up_to(b"\r\n"), 16):
            yield await self.exactly(size)
            assert await self.exactly(2) == b"\r\n"
        assert await self.exactly(2) == b"\r\n"

    # WebSocket

    async def upgrade(self, target: str, *fields: str) -> Answer:
        """Ask for a WebSocket; after a 101 the connection carries frames."""
        key = base64.b64encode(os.urandom(16))
        answer = await self.request(
            "GET",
            target,
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            *fields,
        )
        if answer.status == 101:
            token = base64.b64encode(sha1(key + _MAGIC).digest()).decode()
            assert answer["sec-websocket-accept"] == token
            assert answer["upgrade"].lower() == "websocket"
        return answer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload. Every frame of a server is whole and bare."""
        first, second = await self.exactly(2)
        assert first & 0xF0 == 0x80, "FIN is set and no reserved bit is"
        assert second < 0x80, "a server does not mask"
        size = second
        if second == 126:
            size = int.from_bytes(await self.exactly(2), "big")
        elif second == 127:
            size = int.from_bytes(await self.exactly(8), "big")
        return first & 0x0F, await self.exactly(size)

    async def close_code(self) -> int:
        """Read up to the server's close frame and the end of the connection; the code."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                break
        assert await self.is_closed(), "nothing follows a close frame"
        return int.from_bytes(payload[:2], "big")


def _fields(lines: Iterable[str]) -> list[tuple[str, str]]:
    found = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, f"not a header field: {line!r}"
        assert re.fullmatch(r"[a-zA-Z0-9-]+", name), f"not a field's name: {name!r}"
        found.append((name.lower(), value.strip()))
    return found


async def ask(
    site: Site | str, method: str, target: str, *fields: str, body: bytes = b""
) -> Answer:
    """One request on a connection of its own."""
    async with await Wire.to(site) as wire:
        return await wire.request(method, target, "Connection: close", *fields, body=body)


# Engine.IO and Socket.IO, by hand


class WebSocketClient(Wire):
    """A session over WebSocket. Pings are answered on the way, unless `answers_pings` is off."""

    answers_pings = True
    handshake: dict[str, Any]

    @classmethod
    async def opened(cls, site: Site | str, path: str = "/socket.io/", *fields: str) -> Self:
        """With the Engine.IO handshake done."""
        client = await cls.to(site)
        answer = await client.upgrade(f"{path}?EIO=4&transport=websocket", *fields)
        assert answer.status == 101, answer
        opened = await client.text()
        assert opened[:1] == "0"
        client.handshake = json.loads(opened[1:])
        return client

    @classmethod
    async def joined(cls, site: Site | str, *fields: str) -> Self:
        """In the main namespace."""
        client = await cls.opened(site, "/socket.io/", *fields)
        await client.say("40")
        assert (await client.text()).startswith('40{"sid":')
        return client

    async def say(self, *packets: str | bytes) -> None:
        """Packets, a frame each, in one write."""
        await self.send(
            b"".join(
                [
                    frame(TEXT, packet.encode()) if isinstance(packet, str) else frame(2, packet)
                    for packet in packets
                ]
            )
        )

    async def hear(self) -> str | bytes:
        """The next message, which is no ping: text or bytes."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                raise Gone(payload)
            if opcode == TEXT and payload == b"2" and self.answers_pings:
                await self.say("3")
            elif opcode in (TEXT, BINARY):
                return payload.decode() if opcode == TEXT else payload

    async def text(self) -> str:
        heard = await self.hear()
        assert isinstance(heard, str)
        return heard


class PollingClient:
    """A session over long-polling, each request on a connection of its own."""

    def __init__(self, site: Site | str, path: str, handshake: dict[str, Any]) -> None:
        self.site = site
        self.handshake = handshake
        self.sid: str = handshake["sid"]
        self.target = f"{path}?EIO=4&transport=polling&sid={self.sid}"

    @classmethod
    async def opened(cls, site: Site | str, path: str = "/socket.io/", *fields: str) -> Self:
        answer = await ask(site, "GET", f"{path}?EIO=4&transport=polling", *fields)
        assert answer.status == 200
        assert answer.body[:1] == b"0"
        return cls(site, path, json.loads(answer.body[1:]))

    async def post(self, *packets: str) -> Answer:
        return await ask(
            self.site, "POST", self.target, body=SEPARATOR.join(packets).encode("utf-8")
        )

    async def poll(self) -> Answer:
        return await ask(self.site, "GET", self.target)

    async def hear(self) -> list[str]:
        """The packets of one poll that are no pings (which are answered)."""
        while True:
            answer = await self.poll()
            assert answer.status == 200, answer
            packets = answer.body.decode().split(SEPARATOR)
            if "2" in packets:
                assert (await self.post("3")).status == 200
            if heard := [packet for packet in packets if packet != "2"]:
                return heard
