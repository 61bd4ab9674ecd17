"""What clients are used to from Engine.IO's and Socket.IO's own servers, and from HTTP's."""

from __future__ import annotations

import asyncio
import json
import re
from contextvars import ContextVar
from typing import Any

import pytest

from hocket import App, Handshake, Socket
from tests.support import (
    BINARY,
    CLOSE,
    PollingClient,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
    serving,
)


def echoing() -> App:
    app = App()
    app.on("echo")(lambda socket, value: value)
    app.get("/hello")(lambda: "hello")
    return app


@pytest.mark.parametrize("packet", ["bAQIDBA==", "bAQIDBA"])
@asynchronous
async def test_a_client_that_keeps_to_base64_may_do_so_over_websocket(packet: str) -> None:
    """socket.io-client with `forceBase64`."""
    async with serving(echoing()) as site, await WebSocketClient.joined(site) as client:
        await client.say('451-1["echo",{"_placeholder":true,"num":0}]', packet)
        assert await client.text() == '461-1[{"_placeholder":true,"num":0}]'
        assert await client.frame() == (BINARY, b"\1\2\3\4")
        await client.say("b?")
        assert await client.close_code() == 1008


@asynchronous
async def test_a_polling_client_may_leave_out_padding_and_use_the_alphabet_for_urls() -> None:
    async with serving(echoing()) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        await client.hear()
        await client.post('451-1["echo",{"_placeholder":true,"num":0}]\x1eb-_8')
        assert await client.hear() == ['461-1[{"_placeholder":true,"num":0}]', "b+/8="]


@pytest.mark.parametrize("waits", [False, True])
@asynchronous
async def test_who_comes_into_a_namespace_again_has_left_it_before(waits: bool) -> None:
    """A client that leaves before it has heard that it is in says nothing of that: components of
    React are mounted, unmounted and mounted.
    """
    app = echoing()
    admin = app.namespace("/admin")
    steps: list[str] = []
    gate = asyncio.Event()

    async def connect(socket: Socket, auth: dict[str, Any]) -> None:
        if waits:
            await gate.wait()
        steps.append(socket.id)

    admin.on("connect")(connect)
    admin.on("disconnect")(lambda socket, reason: steps.append(f"{reason} {socket.id}"))
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        await client.say("40/admin,", "40/admin,", '421["echo",1]')
        if waits:
            assert await client.text() == "431[1]"
            gate.set()
            (answer,) = [await client.text()]
        else:
            first, answer, echoed = [await client.text() for _ in range(3)]
            assert echoed == "431[1]"
            old = json.loads(first.removeprefix("40/admin,"))["sid"]
            assert f"client namespace disconnect {old}" in steps
        sid = json.loads(answer.removeprefix("40/admin,"))["sid"]
        assert [socket.id for socket in await admin.sockets()] == [sid]
        assert steps[-1] == sid
        await client.say('422["echo",2]')
        assert await client.text() == "432[2]"


@asynchronous
async def test_an_event_may_be_called_by_a_number() -> None:
    app = App()
    app.on("5")(lambda socket, value: value)
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        await client.say('421[5,"x"]')
        assert await client.text() == '431["x"]'


@asynchronous
async def test_engine_io_ends_a_websocket_as_websockets_do() -> None:
    app, reasons = echoing(), []
    app.on("disconnect")(lambda socket, reason: reasons.append(reason))
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        await client.say("1")
        opcode, payload = await client.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1000)
        assert await client.is_closed()
        assert reasons == ["transport close"]


@asynchronous
async def test_who_leaves_while_on_handshake_waits_has_no_session() -> None:
    app, asked, gate = App(), asyncio.Event(), asyncio.Event()

    @app.on_handshake
    async def admit(handshake: Handshake) -> None:
        asked.set()
        await gate.wait()

    async with serving(app) as site:
        client = await WebSocketClient.to(site)
        upgrading = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        upgrading += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        target = "/socket.io/?EIO=4&transport=websocket"
        await client.send(head(site.host, target, "GET", *upgrading))
        await asked.wait()
        client.close()
        await eventually(lambda: [each.ending for each in site.worker.http.streams()] == [True])
        gate.set()
        opened = site.worker.engine.counts.opened
        await eventually(lambda: opened["websocket"] == 1)
        await eventually(lambda: not site.worker.engine.connections)


@asynchronous
async def test_what_is_not_http_is_refused() -> None:
    async with serving(echoing()) as site, await Wire.to(site) as wire:
        await wire.send(b"GET /hello RTSP/1.0\r\n\r\n")
        assert (await wire.answer()).status == 505


@asynchronous
async def test_a_poll_over_http_1_0_says_that_its_connection_stays() -> None:
    async with serving(echoing()) as site, await Wire.to(site) as wire:
        request = head(site.host, "/socket.io/?EIO=4&transport=polling", "GET")
        await wire.send(
            request.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
                b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"
            )
        )
        assert (await wire.answer())["connection"] == "keep-alive"


@pytest.mark.parametrize("step", ["connect", "middleware"])
@pytest.mark.parametrize("waits", [False, True])
@asynchronous
async def test_false_refuses(step: str, waits: bool) -> None:
    """As in python-socketio."""

    def check(socket: Socket, auth: dict[str, Any]) -> Any:
        return auth == {"password": "s3cret"}

    async def check_later(socket: Socket, auth: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return auth == {"password": "s3cret"}

    app = echoing()
    register = app.middleware if step == "middleware" else app.on("connect")
    register(check_later if waits else check)
    async with serving(app) as site, await WebSocketClient.opened(site) as client:
        await client.say('40{"password":"wrong"}')
        assert await client.text() == '44{"message":"Forbidden"}'
        await client.say('40{"password":"s3cret"}')
        assert (await client.text()).startswith('40{"sid":')


@asynchronous
async def test_what_a_handler_sets_in_its_context_is_nobody_elses() -> None:
    """Loggers, tracers and tenants are kept in context variables (PEP 567)."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    app = App()

    def sets(*_: Any) -> str:
        found = user.get()
        user.set("ada")
        return found

    seen: list[str] = []
    app.on_handshake(lambda handshake: seen.append(sets()))
    app.middleware(lambda socket, auth: seen.append(sets()))
    app.on("connect")(lambda socket, auth: seen.append(user.get()))
    app.on("who")(sets)
    app.get("/who")(sets)

    @app.on("later")
    async def later(socket: Socket) -> str:
        return sets()

    async with serving(app) as site:
        for _ in range(2):
            async with await WebSocketClient.joined(site) as client:
                for event in ("who", "later"):
                    await client.say(f'421["{event}"]')
                    assert await client.text() == '431["nobody"]'
            assert (await ask(site, "GET", "/who")).body == b"nobody"
    assert seen == ["nobody", "nobody", "ada"] * 2  # one client's steps are one context


@asynchronous
async def test_one_namespace_of_a_pattern_has_no_handlers_of_its_own() -> None:
    """They would be those of all the others, too."""
    app = App()
    own = app.namespace("/n-1")
    pattern = app.namespace(re.compile(r"/(n-\d|\.\*)"))
    one = app.namespace("/n-2")
    with pytest.raises(ValueError, match="declare it before the pattern"):
        one.on("secret")(lambda socket: None)
    with pytest.raises(ValueError, match="declare it before the pattern"):
        one.middleware(lambda socket, auth: None)
    own.on("who")(lambda socket: "own")
    pattern.on("who")(lambda socket: "pattern")
    async with serving(app) as site, await WebSocketClient.opened(site) as client:
        for name, found in (("/n-1", "own"), ("/n-2", "pattern")):
            await client.say(f"40{name},")
            assert (await client.text()).startswith(f"40{name},")
            await client.say(f'42{name},1["who"]')
            assert await client.text() == f'43{name},1["{found}"]'
        one.emit("hello")
        assert await client.text() == '42/n-2,["hello"]'
        with pytest.raises(LookupError, match="is a pattern"):
            app.namespace(re.compile(r".*")).emit("hello")
