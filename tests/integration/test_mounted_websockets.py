"""WebSocket routes of mounted applications, against the ASGI WebSocket specification (2.4)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hocket import App
from hocket.transport.asgi_websocket import CLOSED, AsgiWebSocket
from tests.support import (
    BINARY,
    CLOSE,
    TEXT,
    Gone,
    Site,
    Wire,
    asynchronous,
    eventually,
    frame,
    head,
    serving,
    turns,
)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
PING, PONG = 9, 10
ACCEPT = {"type": "websocket.accept"}


@asynccontextmanager
async def mounting(
    talk: Callable[[dict[str, Any], Receive, Send], Awaitable[None]], **settings: Any
) -> AsyncIterator[Site]:
    """A site whose WebSocket route at /ws does `talk`."""

    async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await talk(scope, receive, send)

    app = App()
    app.mount("/ws", asgi)  # type: ignore[arg-type]
    async with serving(app, **settings) as site:
        yield site


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@asynchronous
async def test_messages_of_both_kinds_pings_and_the_end() -> None:
    async with mounting(echo) as site, await Wire.to(site) as wire:
        assert (await wire.upgrade("/ws/a?b=c")).status == 101
        await wire.send(frame(TEXT, "né".encode()) + frame(BINARY, b"\x00") + frame(PING, b"p"))
        heard = [await wire.frame() for _ in range(3)]
        assert sorted(heard) == [(TEXT, "né".encode()), (BINARY, b"\x00"), (PONG, b"p")]
        await wire.send(frame(CLOSE, b"\x0b\xb8bye"))
        assert await wire.close_code() == 3000
        assert site.alarms.messages == []


@asynchronous
async def test_what_an_application_is_told() -> None:
    told: list[dict[str, Any]] = []

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        told.append(scope)
        await receive()
        await send({**ACCEPT, "subprotocol": "b", "headers": [(b"x-a", b"1")]})
        told.append(await receive())
        told.append(await receive())

    async with mounting(talk) as site, await Wire.to(site) as wire:
        answer = await wire.upgrade("/ws/a%20b?c=d", "Sec-WebSocket-Protocol: a, b", "X-Y: z")
        assert (answer["sec-websocket-protocol"], answer["x-a"]) == ("b", "1")
        wire.close()
        await eventually(lambda: len(told) == 3)
    scope, *ends = told
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/ws/a b", b"/ws/a%20b", b"c=d",
    )  # fmt: skip
    assert (scope["root_path"], scope["subprotocols"]) == ("/ws", ["a", "b"])
    assert "method" not in scope
    assert (b"x-y", b"z") in scope["headers"]
    assert ends == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}] * 2


@pytest.mark.parametrize("how", ["close", "return"])
@asynchronous
async def test_who_is_not_accepted_gets_a_403(how: str) -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if how == "close":
            await send({"type": "websocket.close"})

    async with mounting(talk) as site, await Wire.to(site) as wire:
        assert (await wire.upgrade("/ws")).status == 403
        assert await wire.is_closed()


@asynchronous
async def test_a_refusal_of_the_application_s_own() -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert "websocket.http.response" in scope["extensions"]
        start = {"type": "websocket.http.response.start", "status": 401}
        body = {"type": "websocket.http.response.body", "body": b"who "}
        await send({**start, "headers": [(b"www-authenticate", b"Bearer")]})
        await send({**body, "more_body": True})
        await send({**body, "body": b"are you?"})

    async with mounting(talk) as site, await Wire.to(site) as wire:
        answer = await wire.upgrade("/ws")
        assert (answer.status, answer.body) == (401, b"who are you?")
        assert answer["www-authenticate"] == "Bearer"
        assert await wire.is_closed()


@pytest.mark.parametrize("accepted", [False, True])
@asynchronous
async def test_an_application_that_raises(accepted: bool) -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if accepted:
            await send(ACCEPT)
        raise LookupError("nothing there")

    async with mounting(talk) as site, await Wire.to(site) as wire:
        answer = await wire.upgrade("/ws")
        if accepted:
            assert await wire.close_code() == 1011
        else:
            assert answer.status == 500
            assert await wire.is_closed()
        assert site.alarms.messages == ["an application failed"]


NONE = 0  # what `close_code` says of a close frame without a code


@pytest.mark.parametrize(
    ("given", "code"),
    [({}, 1000), ({"code": 4001, "reason": "go"}, 4001), ({"code": 1005}, NONE), (None, 1000)],
    ids=["no code", "code", "none", "return"],
)
@asynchronous
async def test_how_an_application_ends_it(given: dict[str, Any] | None, code: int) -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        if given is not None:
            await send({"type": "websocket.close", **given})
            with pytest.raises(ConnectionError):
                await send({"type": "websocket.send", "text": "late"})

    async with mounting(talk) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        assert await wire.close_code() == code
        assert site.alarms.messages == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x" * 1001), 1009),
        (frame(TEXT, b"\xff"), 1007),
        (b"\x81\x01x", 1002),  # not masked
        (frame(3, b""), 1002),
    ],
    ids=["too long", "not UTF-8", "not masked", "no opcode"],
)
@asynchronous
async def test_a_client_that_breaks_the_protocol(data: bytes, code: int) -> None:
    async with mounting(echo, max_payload=1000) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        await wire.send(data)
        assert await wire.close_code() == code


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send", "text": "early"},
        {"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]},
        {"type": "websocket.http.response.body", "body": b"no start"},
    ],
    ids=["send", "header", "body"],
)
@asynchronous
async def test_what_an_application_must_not_say_first(message: dict[str, Any]) -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(message)

    async with mounting(talk) as site, await Wire.to(site) as wire:
        assert (await wire.upgrade("/ws")).status == 500


@asynchronous
async def test_who_speaks_before_the_answer_is_not_read_from() -> None:
    going = asyncio.Event()

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await going.wait()
        await echo(scope, receive, send)

    async with mounting(talk) as site, await Wire.to(site) as wire:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
        await wire.send(head(site.host, "/ws", "GET", *fields))
        early = frame(TEXT, b"x" * 60_000)
        sending = asyncio.create_task(wire.send(early * 500))  # 30 MB
        await turns(50)
        assert not sending.done()
        going.set()
        assert (await wire.answer()).status == 101
        for _ in range(500):
            assert await wire.frame() == (TEXT, b"x" * 60_000)
        await sending


@asynchronous
async def test_a_client_is_read_from_no_faster_than_the_application_reads() -> None:
    going = asyncio.Event()
    read: list[int] = []

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        await going.wait()
        while (message := await receive())["type"] == "websocket.receive":
            read.append(len(message["text"]))

    async with mounting(talk) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        sending = asyncio.create_task(wire.send(frame(TEXT, b"x" * 60_000) * 500))
        await turns(50)
        assert not sending.done()
        going.set()
        await sending
        await eventually(lambda: len(read) == 500)


@asynchronous
async def test_an_application_waits_for_a_client_that_does_not_read() -> None:
    sent: list[int] = []

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        for number in range(400):
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            sent.append(number)

    async with mounting(talk, max_outbox=200_000) as site, await Wire.to(site, 4096) as wire:
        await wire.upgrade("/ws")
        count = -1
        while count != len(sent):
            count = len(sent)
            await turns(20)
        assert 0 < len(sent) < 400
        for _ in range(400):
            assert await wire.frame() == (BINARY, bytes(100_000))
        assert await wire.close_code() == 1000


@asynchronous
async def test_several_tasks_wait_for_a_slow_client_and_for_a_message() -> None:
    done: list[str] = []

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)

        async def say(name: str) -> None:
            await send({"type": "websocket.send", "bytes": bytes(8_000_000)})
            done.append(name)

        async def hear(name: str) -> None:
            message = await receive()
            done.append(message.get("text") or message["type"])

        await asyncio.gather(*map(say, ("one", "two", "three")), hear("a"), hear("b"))

    async with mounting(talk, max_outbox=100_000) as site, await Wire.to(site, 4096) as wire:
        await wire.upgrade("/ws")
        await turns(20)
        assert done == ["one"]  # which leaves at the end of the turn
        for _ in range(3):
            assert len((await wire.frame())[1]) == 8_000_000
        await eventually(lambda: set(done) == {"one", "two", "three"})
        await wire.send(frame(TEXT, b"a message") + frame(CLOSE, b""))
        await eventually(lambda: done[3:] == ["a message", "websocket.disconnect"])


@asynchronous
async def test_who_pings_and_never_reads_the_pongs_fills_no_memory() -> None:
    async with mounting(echo) as site, await Wire.to(site, 4096) as wire:
        await wire.upgrade("/ws")
        (end,) = site.worker.reactor.endpoints()
        for _ in range(200):
            await wire.send(frame(PING, b"p" * 125) * 500)
        assert isinstance(end, AsgiWebSocket)
        assert end.backlog is not None
        assert end.backlog.size < 200_000


@asynchronous
async def test_who_does_not_answer_pings_is_gone() -> None:
    quick = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with mounting(echo, **quick) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        for _ in range(3):
            assert (await wire.frame())[0] == PING
            await wire.send(frame(PONG, b""))
        assert (await wire.frame())[0] == PING
        with pytest.raises(Gone):
            await wire.frame()


@asynchronous
async def test_nobody_is_judged_while_nobody_is_read_from() -> None:
    quick = {"ping_interval": 0.2, "ping_timeout": 0.2}
    async with mounting(echo, **quick) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        site.worker.engine.pause("a test", True)
        for _ in range(3):
            assert (await wire.frame())[0] == PING
        await wire.send(frame(PONG, b""))
        site.worker.engine.pause("a test", False)
        assert (await wire.frame())[0] == PING
        with pytest.raises(Gone):
            await wire.frame()


@asynchronous
async def test_a_server_that_stops_will_be_back() -> None:
    waiting = asyncio.Event()

    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/ws/slow":
            waiting.set()
            await receive()
            await receive()
        await echo(scope, receive, send)

    async with mounting(talk) as site:
        wire, slow = await Wire.to(site), await Wire.to(site)
        await wire.upgrade("/ws")
        upgrading = asyncio.create_task(slow.upgrade("/ws/slow"))
        await waiting.wait()
    assert await wire.close_code() == 1012
    assert (await upgrading).status == 503
    assert await slow.is_closed()


@pytest.mark.parametrize("code", [1006, 1015, 999, 99_999])
@asynchronous
async def test_a_code_that_must_not_be_sent_is_a_defect_of_the_application(code: int) -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": code})

    async with mounting(talk) as site, await Wire.to(site) as wire:
        await wire.upgrade("/ws")
        assert await wire.close_code() == 1011
        assert site.alarms.messages == ["an application failed"]


@asynchronous
async def test_who_neither_takes_nor_answers_is_gone_however_much_it_has_said() -> None:
    async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        with contextlib.suppress(ConnectionError):
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})

    quick = {"ping_interval": 0.2, "ping_timeout": 0.2, "max_outbox": 200_000}
    async with mounting(talk, **quick) as site, await Wire.to(site, 4096) as wire:
        await wire.upgrade("/ws")
        (end,) = site.worker.reactor.endpoints()
        assert isinstance(end, AsgiWebSocket)
        with socket.fromfd(end.fd, socket.AF_INET, socket.SOCK_STREAM) as kernel:
            kernel.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)  # or it ends it
        message = frame(TEXT, b"m" * 1_000)
        await wire.send(message * 200)
        await eventually(lambda: end.full)
        await eventually(lambda: end.state == CLOSED)
