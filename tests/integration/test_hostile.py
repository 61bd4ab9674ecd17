"""Hostile input: for each the exact answer, the connection gone, and another client served."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hocket import App, Socket
from tests.support import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    Answer,
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    frame,
    head,
    serving,
)

POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


@asynccontextmanager
async def attacked(**settings: Any) -> AsyncIterator[Site]:
    """A server with a bystander, who is served before and after; and nothing is left behind."""
    app = App()
    reasons: list[str] = []

    @app.on("echo")
    def echo(socket: Socket, value: Any) -> Any:
        return value

    @app.on("message")
    def message(socket: Socket, *args: Any) -> None:
        """Something to do."""

    @app.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        reasons.append(reason)

    @app.post("/upload")
    async def upload(request: Any) -> str:
        return str(len(await request.body()))

    async with serving(app, **settings) as site:
        bystander = await WebSocketClient.joined(site)
        before = site.open_files
        site.app.routes.add("GET", "/reasons", lambda: reasons)
        yield site
        await bystander.say('421["echo","still here"]')
        assert await bystander.hear() == '431["still here"]'
        await eventually(lambda: site.open_files == before)
        assert site.sessions == 1
        bystander.close()


# HTTP on the Socket.IO path


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/socket.io/?transport=polling", 5),
        ("GET", "/socket.io/?EIO=3&transport=polling", 5),
        ("GET", "/socket.io/?EIO=abc&transport=polling", 5),
        ("GET", "/socket.io/?EIO=4", 0),
        ("GET", "/socket.io/?EIO=4&transport=abc", 0),
        ("GET", "/socket.io/?EIO=4&transport=websocket", 3),
        ("POST", POLLING, 2),
        ("PUT", POLLING, 2),
        ("DELETE", POLLING, 2),
        ("GET", POLLING + "&sid=nobody", 1),
        ("POST", POLLING + "&sid=nobody", 1),
    ],
)
@asynchronous
async def test_a_wrong_request(method: str, target: str, code: int) -> None:
    async with attacked() as site:
        answer = await ask(site, method, target)
        assert answer.status == 400
        assert answer.json["code"] == code


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/socket.io/?transport=websocket", 5),
        ("/socket.io/?EIO=3&transport=websocket", 5),
        ("/socket.io/?EIO=4&transport=polling", 3),
        ("/socket.io/?EIO=4&transport=abc", 0),
        (WEBSOCKET + "&sid=nobody", 1),
    ],
)
@asynchronous
async def test_a_wrong_upgrade(target: str, code: int) -> None:
    async with attacked() as site, await Wire.to(site) as wire:
        answer = await wire.upgrade(target)
        assert (answer.status, answer.json["code"]) == (400, code)
        assert await wire.is_closed()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 426),
        (["Sec-WebSocket-Version: 13"], 400),
        (["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"], 400),
    ],
)
@asynchronous
async def test_a_bad_websocket_handshake(fields: list[str], status: int) -> None:
    async with attacked() as site, await Wire.to(site) as wire:
        lines = ["Upgrade: websocket", "Connection: Upgrade", *fields]
        await wire.send(head(site.host, WEBSOCKET, "GET", *lines))
        answer = await wire.answer()
        assert answer.status == status
        if status == 426:
            assert answer["sec-websocket-version"] == "13"
            assert answer["upgrade"] == "websocket"  # RFC 9110 section 15.5.22
        assert await wire.is_closed()


# Requests that could be read in two ways, or never end

RAW = {
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two lengths": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        400,
    ),
    "length and chunked": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked on 1.0": (
        b"POST /upload HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked twice": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "bad chunk size": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        400,
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "too many fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
    "a megabyte of headers": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000_000, 431),
    "a body that is announced too long": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 500_000,
        413,
    ),
    "chunks that grow too long": (
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17,
        413,
    ),
}


@pytest.mark.parametrize("name", RAW)
@asynchronous
async def test_a_request_that_must_not_be_read_on(name: str) -> None:
    data, status = RAW[name]
    async with attacked() as site, await Wire.to(site) as wire:
        await wire.send(data)
        answer = await wire.answer()
        assert answer.status == status
        assert answer["connection"] == "close"
        assert await wire.is_closed()


@pytest.mark.parametrize(
    "part",
    [b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"],
)
@asynchronous
async def test_a_request_that_never_ends(part: bytes) -> None:
    async with attacked(request_timeout=0.1) as site, await Wire.to(site) as wire:
        await wire.send(part)
        assert (await wire.answer()).status == 408
        assert await wire.is_closed()


@asynchronous
async def test_a_connection_that_says_nothing() -> None:
    async with attacked(request_timeout=0.1, keep_alive=0.1) as site, await Wire.to(site) as wire:
        assert await wire.is_closed()


# Polling bodies


async def posted(site: Site, body: bytes) -> tuple[Answer, PollingClient]:
    client = await PollingClient.opened(site)
    assert (await client.post("40")).body == b"ok"
    assert (await client.poll()).body.startswith(b"40")
    return await ask(site, "POST", client.target, body=body), client


@pytest.mark.parametrize(
    "body",
    [
        b"abc",
        b"\xff\xfe",
        b"4\xff",
        b"2",
        b"b!!!!",
        b"bAQID",
        b"4abc",
        b'42["e"',
        b'42["e",' + b"[" * 200_000,
        b'42["e",' + b"[" * 200_000 + b"]" * 200_000 + b"]",
        b'451000000000-["e"]',
        b'451-["e"]\x1e42["e"]',
        b"41/nowhere,",
        b'42["connect"]',
        b"\x1e".join([b"3"] * 500_000),
        b"\x1e".join([b'42["message"]'] * 10_001),
    ],
    ids=lambda body: f"{len(body)} {body[:16]!r}",
)
@asynchronous
async def test_a_bad_polling_body_ends_the_session(body: bytes) -> None:
    async with attacked() as site:
        answer, client = await posted(site, body)
        assert answer.status == 400
        gone = await client.poll()
        assert (gone.status, gone.json["code"]) == (400, 1)


@asynchronous
async def test_as_many_packets_as_may_be_are_handed_on_in_turns() -> None:
    async with attacked() as site:
        answer, client = await posted(site, b"\x1e".join([b'42["message"]'] * 10_000))
        assert (answer.status, answer.body) == (200, b"ok")
        assert (await client.post("1")).status == 200


@asynchronous
async def test_two_polls_at_once_end_the_session() -> None:
    async with attacked() as site:
        client = await PollingClient.opened(site)
        async with await Wire.to(site) as first:
            await first.send(head(site.host, client.target))
            await eventually(lambda: site.open_files == 2)
            second = await client.poll()
            assert (await first.answer()).body == b"1"
            assert second.status == 400


@asynchronous
async def test_a_poll_that_is_given_up_ends_the_session() -> None:
    async with attacked() as site:
        client = await PollingClient.opened(site)
        async with await Wire.to(site) as wire:
            await wire.send(head(site.host, client.target))
            await eventually(lambda: site.open_files == 2)
        await eventually(lambda: site.sessions == 1)


# Frames


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"40", mask=None), 1002),
        (frame(TEXT, b"40", reserved=4), 1002),
        (frame(TEXT, b"40", reserved=1), 1002),
        (frame(5, b""), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b'42["\xc3\x28"]'), 1007),
        (frame(TEXT, b"", length=2_000_000), 1009),
        (frame(TEXT, b"", length=1 << 62), 1009),
        (frame(TEXT, b"x" * 600_000, fin=False) + frame(CONTINUATION, b"x" * 600_000), 1009),
        (frame(8, b"\x00"), 1002),
        (frame(8, (1005).to_bytes(2, "big")), 1002),
    ],
)
@asynchronous
async def test_a_frame_that_breaks_the_rfc(data: bytes, code: int) -> None:
    async with attacked() as site:
        client = await WebSocketClient.opened(site)
        await client.send(data)
        assert await client.close_code() == code


@pytest.mark.parametrize(
    "packet",
    [
        "",
        "abc",
        "0",
        "2",
        "5",
        "4",
        "4abc",
        "42",
        "42{}",
        '42abc["e"]',
        '42["disconnect"]',
        '42/other,["e"]',
        "44{}",
        '451000000000-["e"]',
        '42["e",' + "[" * 200_000,
        '42["e",' + '{"a":' * 150_000,
    ],
    ids=lambda packet: packet[:16],
)
@asynchronous
async def test_a_packet_that_cannot_be(packet: str) -> None:
    async with attacked() as site:
        client = await WebSocketClient.joined(site)
        await client.say(packet)
        assert await client.close_code() == 1008
        assert json.loads((await ask(site, "GET", "/reasons")).body) == ["parse error"]


@asynchronous
async def test_binary_that_belongs_to_nothing() -> None:
    async with attacked() as site:
        client = await WebSocketClient.joined(site)
        await client.say(b"\x01\x02")
        assert await client.close_code() == 1008


@asynchronous
async def test_an_attachment_that_is_replaced_by_text() -> None:
    async with attacked() as site:
        client = await WebSocketClient.joined(site)
        await client.say('451-["message",{"_placeholder":true,"num":0}]', '42["message"]')
        assert await client.close_code() == 1008


@asynchronous
async def test_three_thousand_namespaces() -> None:
    app = App()

    app.namespace(re.compile(r"/n-\d+"))
    async with serving(app, max_namespaces=100) as site:
        client = await WebSocketClient.opened(site)
        await client.say(*[f"40/n-{number}," for number in range(3_000)])
        for number in range(100):
            assert (await client.text()).startswith(f"40/n-{number},")
        for number in range(100, 3_000):  # refused, as any other namespace would be
            refusal = '{"message":"over 100 namespaces on one connection"}'
            assert await client.text() == f"44/n-{number},{refusal}"
        assert app.hub is not None
        assert len(app.hub.namespaces) == 100
        client.close()
        await eventually(lambda: site.sessions == 0)
        assert app.hub.namespaces == {}
        await eventually(lambda: site.open_files == 0)


@asynchronous
async def test_a_flood_of_pings_is_answered_and_holds_nobody_up() -> None:
    async with attacked() as site:
        client = await WebSocketClient.joined(site)
        await client.send(frame(PING, b"p") * 5_000)
        for _ in range(5_000):
            assert await client.frame() == (0xA, b"p")
        client.close()


@asynchronous
async def test_who_never_reads_is_disconnected_with_a_bound_on_what_waits() -> None:
    async with attacked(max_outbox=20_000) as site:
        client = await WebSocketClient.joined(site)
        assert site.app.hub is not None
        nsp = site.app.hub.namespace("/")
        assert nsp is not None
        victim = list(nsp.sockets.values())[-1]
        for _ in range(1_000):
            victim.emit("noise", "x" * 10_000)
            if victim.connection.outbox is not None and not victim.connected:
                break
        await eventually(lambda: not victim.connected)
        assert json.loads((await ask(site, "GET", "/reasons")).body) == ["slow-consumer"]
        client.close()


@asynchronous
async def test_a_probe_that_goes_wrong_leaves_the_session_on_polling() -> None:
    async with attacked() as site:
        session = await PollingClient.opened(site)
        target = session.target.replace("polling", "websocket")
        for wrong in ("4x", "2", "5", "2probex", "3probe"):
            async with await Wire.to(site) as wire:
                assert (await wire.upgrade(target)).status == 101
                await wire.send(frame(TEXT, wrong.encode()))
                assert await wire.close_code() == 1000
        async with await Wire.to(site) as wire:
            assert (await wire.upgrade(target)).status == 101
            await wire.send(frame(BINARY, b"2probe"))
            assert await wire.close_code() == 1000
        assert (await session.post("40")).body == b"ok"
        assert (await session.hear())[0].startswith("40")
        assert (await session.post("1")).status == 200


# Origins


@pytest.mark.parametrize(
    ("origins", "origin", "admitted"),
    [
        (None, None, True),
        (None, "http://{host}", True),
        (None, "https://{host}", True),
        (None, "http://evil.example", False),
        (None, "null", False),
        (None, "http://127.0.0.1:1", False),
        (["http://good.example"], "http://good.example", True),
        (["http://good.example"], "http://good.example.evil", False),
        (["http://good.example"], "https://good.example", False),
        ("*", "http://anybody.example", True),
    ],
)
@asynchronous
async def test_origins(origins: Any, origin: str | None, admitted: bool) -> None:
    async with serving(App(origins=origins)) as site:
        fields = [] if origin is None else [f"Origin: {origin.format(host=site.host)}"]
        polled = await ask(site, "GET", POLLING, *fields)
        assert polled.status == (200 if admitted else 403)
        allowed = polled["access-control-allow-origin"]
        assert allowed == (origin.format(host=site.host) if origin and admitted else "")
        async with await Wire.to(site) as wire:
            upgraded = await wire.upgrade(WEBSOCKET, *fields)
            assert upgraded.status == (101 if admitted else 403)
        preflight = await ask(site, "OPTIONS", POLLING, *fields)
        assert preflight.status == 204
        assert bool(preflight["access-control-allow-methods"]) is (admitted and bool(fields))


# What is right, and unusual


@asynchronous
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with attacked() as site, await Wire.to(site) as wire:
        lines = b"".join(head(site.host, f"/nothing-{number}") for number in range(50))
        await wire.send(head(site.host, "/reasons") + lines + head(site.host, "/reasons", "HEAD"))
        assert (await wire.answer()).status == 200
        for _ in range(50):
            assert (await wire.answer()).status == 404
        assert (await wire.answer("HEAD"))["content-length"] == "2"


@asynchronous
async def test_expect_continue_chunks_and_http_1_0() -> None:
    async with attacked() as site:
        async with await Wire.to(site) as wire:
            fields = ["Content-Length: 5", "Expect: 100-continue"]
            await wire.send(head(site.host, "/upload", "POST", *fields))
            assert (await wire.answer()).status == 100
            await wire.send(b"hello")
            assert (await wire.answer()).body == b"5"
            await wire.send(head(site.host, "/upload", "POST", "Transfer-Encoding: chunked"))
            for piece in (b"5\r\nhel", b"lo\r\n1;x=y\r\n", b"!\r\n0\r\nA: b\r\n\r\n"):
                await wire.send(piece)
            assert (await wire.answer()).body == b"6"
        async with await Wire.to(site) as wire:
            answer = await wire.request("GET", "/reasons", version="1.0")
            assert answer.body == b"[]"
            assert await wire.is_closed()


@asynchronous
async def test_a_chunked_post_to_polling() -> None:
    async with attacked() as site:
        session = await PollingClient.opened(site)
        async with await Wire.to(site) as wire:
            await wire.send(
                head(site.host, session.target, "POST", "Transfer-Encoding: chunked")
                + b"1\r\n4\r\n1\r\n0\r\n0\r\n\r\n"
            )
            assert (await wire.answer()).body == b"ok"
        assert (await session.hear())[0].startswith("40")
        assert (await session.post("1")).status == 200
