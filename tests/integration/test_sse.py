"""Sessions over Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hocket import App, ConnectError, Socket
from hocket.instance.limits import FEW
from tests.support import (
    Answer,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
    serving,
    turns,
)

ACCEPT = "Accept: text/event-stream"


class Listener(Wire):
    """A client that reads events. `opening` is the response's head."""

    opening = ""

    @classmethod
    async def opened(cls, site: Any, target: str = "/events", *fields: str) -> Listener:
        wire = await cls.to(site)
        await wire.send(head(site.host, target, "GET", ACCEPT, *fields))
        wire.opening = (await wire.up_to(b"\r\n\r\n")).decode()
        return wire

    async def event(self) -> dict[str, str]:
        """The next block's fields; comments under an empty name."""
        block = (await self.up_to(b"\n\n")).decode().rstrip("\n")
        return dict(line.split(": ", 1) for line in block.split("\n"))


def news() -> App:
    app = App(ping_interval=0.2)

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.join("news")
        since = socket.handshake.headers.get("last-event-id", "")
        socket.emit("welcome", socket.transport, auth, since)

    return app


@asynchronous
async def test_what_a_listener_is_told() -> None:
    async with serving(news()) as site:
        wire = await Listener.opened(site, "/events?topic=sports&x=%20", "Last-Event-ID: 16")
        assert wire.opening.startswith("HTTP/1.1 200 ")
        assert "content-type: text/event-stream\r\n" in wire.opening
        assert "cache-control: no-store\r\n" in wire.opening
        assert "content-length" not in wire.opening
        assert await wire.event() == {"retry": "2000"}
        first = await wire.event()
        assert json.loads(first["data"]) == ["sse", {"topic": "sports", "x": " "}, "16"]
        site.app.to("news").cursor("17").emit("story", {"title": "é"}, 2)
        assert await wire.event() == {"event": "story", "data": '[{"title":"é"},2]', "id": "17"}
        assert await wire.event() == {"": "ping"}
        assert await wire.event() == {"": "ping"}  # nobody answered, and it goes on
        wire.close()
        await eventually(lambda: site.sessions == 0)


@asynchronous
async def test_one_broadcast_to_every_kind_of_client() -> None:
    async with serving(news(), ping_interval=25.0) as site:
        listeners = [await Listener.opened(site) for _ in range(100)]
        talker = await WebSocketClient.joined(site)
        for number in range(5):
            site.app.emit("n", number)
        for listener in listeners:
            events = [await listener.event() for _ in range(7)][2:]
            assert [each["data"] for each in events] == [f"[{number}]" for number in range(5)]
        heard = [await talker.text() for _ in range(6)]
        assert heard[1:] == [f'42["n",{number}]' for number in range(5)]
        for wire in (*listeners, talker):
            wire.close()


@pytest.mark.parametrize("later", [False, True], ids=["def", "async def"])
@asynchronous
async def test_a_refusal_is_a_403(later: bool) -> None:
    app = App()

    async def refuse_later(socket: Socket, auth: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        raise ConnectError("members only", {"code": 7})

    def refuse(socket: Socket, auth: dict[str, Any]) -> None:
        raise ConnectError("members only", {"code": 7})

    app.on("connect")(refuse_later if later else refuse)
    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/events"))
        answer = await wire.answer()
        assert (answer.status, answer.json) == (
            403,
            {"message": "members only", "data": {"code": 7}},
        )
        assert await wire.is_closed()
        assert site.sessions == 0


@asynchronous
async def test_who_may_not_listen() -> None:
    app = news()

    @app.on_handshake
    def handshake(handshake: Any) -> bool:
        return "banned" not in handshake.query

    async def answer(target: str, *fields: str) -> Answer:
        async with await Wire.to(site) as wire:
            await wire.send(head(site.host, target, "GET", *fields))
            return await wire.answer()

    async with serving(app, origins=["https://good.example"]) as site:
        assert (await answer("/events?banned=1")).status == 403
        assert (await answer("/events", "Origin: https://evil.example")).status == 403
        wire = await Listener.opened(site, "/events", "Origin: https://good.example")
        assert "access-control-allow-origin: https://good.example\r\n" in wire.opening
        wire.close()


@asynchronous
async def test_a_listener_that_the_server_ends() -> None:
    async with serving(news()) as site:
        wire = await Listener.opened(site)
        await site.app.to("news").sockets()
        site.app.to("news").emit("last")
        site.app.to("news").disconnect()
        assert b"event: last\ndata: []\n\n" in await wire.rest()
        await eventually(lambda: site.sessions == 0)


@asynchronous
async def test_a_stop_lets_listeners_come_back() -> None:
    async with serving(news()) as site:
        wire = await Listener.opened(site)
        await turns()
    assert b"event: welcome" in await wire.rest()


@asynchronous
async def test_a_stop_before_a_listener_is_let_in_lets_it_come_back() -> None:
    """EventSource never comes back after an error; it does after an end."""
    app = App()

    @app.on("connect")
    async def connect(socket: Socket) -> None:
        while not socket.connection.closed:
            await asyncio.sleep(0.005)

    async with serving(app) as site:
        wire = await Wire.to(site)
        await wire.send(head(site.host, "/events"))
        await eventually(lambda: site.sessions == 1)
    assert await wire.is_closed()


@asynchronous
async def test_a_listener_for_whom_there_is_no_room_may_come_back() -> None:
    async with serving(App(max_connections=5, workers=1)) as site, await Wire.to(site) as wire:
        for _ in range(5 + FEW):
            assert (await wire.request("GET", "/socket.io/?EIO=4&transport=polling")).status == 200
        await wire.send(head(site.host, "/events"))
        assert await wire.is_closed()


@asynchronous
async def test_a_listener_that_does_not_read_is_let_go() -> None:
    async with serving(news(), max_outbox=10_000) as site:
        wire = await Listener.opened(site)
        for _ in range(400):
            site.app.emit("big", "x" * 10_000)
            await turns(1)
        await eventually(lambda: site.sessions == 0)
        wire.close()


@asynchronous
async def test_a_page_of_another_origin_may_listen_with_a_header_of_its_own() -> None:
    """EventSource cannot send one; libraries that do the same with fetch ask first."""
    async with serving(App(origins=["https://app.example"])) as site:
        wanted = "Access-Control-Request-Headers: authorization, last-event-id"
        for origin, admitted in (("app", True), ("evil", False)):
            fields = (f"Origin: https://{origin}.example", wanted)
            asked = await ask(site, "OPTIONS", "/events", *fields)
            assert asked.status == 204
            allowed = asked["access-control-allow-headers"]
            assert allowed == ("authorization, last-event-id" if admitted else "")


@asynchronous
async def test_own_routes_and_other_methods_come_first() -> None:
    app = App(sse_path="/stream")

    @app.get("/events")
    def events() -> str:
        return "a page"

    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/events"))
        assert (await wire.answer()).body == b"a page"
        for method in ("DELETE", "POST", "HEAD"):
            await wire.send(head(site.host, "/stream", method, "Content-Length: 0"))
            refused = await wire.answer(method)
            assert (refused.status, refused["allow"]) == (405, "GET, OPTIONS"), method
        listener = await Listener.opened(site, "/stream")
        assert await listener.event() == {"retry": "2000"}
        listener.close()


@asynchronous
async def test_the_answer_before_it_is_not_lost() -> None:
    app = App()

    @app.get("/page")
    def page() -> str:
        return "a page"

    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/page") + head(site.host, "/events"))
        assert (await wire.answer()).body == b"a page"
        await wire.up_to(b"retry: 2000\n\n")


@asynchronous
async def test_a_long_answer_before_it_comes_whole() -> None:
    """It is not written yet when the listener's request is read."""
    app = App()

    @app.get("/page")
    def page() -> bytes:
        return bytes(3_000_000)

    async with serving(app) as site, await Wire.to(site, receive_buffer=4096) as wire:
        await wire.send(head(site.host, "/page") + head(site.host, "/events"))
        assert (await wire.answer()).body == bytes(3_000_000)
        await wire.up_to(b"retry: 2000\n\n")


@asynchronous
async def test_who_said_too_much_before_it_was_let_in_is_still_read() -> None:
    app, left = App(), []

    @app.on_handshake
    async def look(handshake: Any) -> None:
        await asyncio.sleep(0.05)

    @app.on("disconnect")
    def gone(socket: Socket, reason: str) -> None:
        left.append(reason)

    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/events", "GET", ACCEPT) + b"x" * 200_000)
        await wire.up_to(b"retry")
        wire.end_sending()
        await eventually(lambda: left)
