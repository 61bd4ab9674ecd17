"""Socket.IO v5: the behaviours that the official suite checks, in our own words.

The Engine.IO part of that suite (16 of its 32 cases) is in test_engineio.py, on both servers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hocket import App
from hocket.testing.conformance import SUITE_SETTINGS, socketio_app
from tests.support import Site, WebSocketClient, asynchronous, serving


@asynccontextmanager
async def suite_server() -> AsyncIterator[Site]:
    """The server that the suite is run against, with a heartbeat that does not get in the way."""
    app = App(**{**SUITE_SETTINGS, "ping_interval": 25.0, "ping_timeout": 20.0})
    socketio_app(app)
    async with serving(app) as site:
        yield site


@asynccontextmanager
async def opened() -> AsyncIterator[WebSocketClient]:
    async with suite_server() as site, await WebSocketClient.opened(site) as client:
        yield client


@asynccontextmanager
async def joined() -> AsyncIterator[WebSocketClient]:
    async with opened() as client:
        await client.say("40")
        await client.text()
        assert await client.text() == '42["auth",{}]'
        yield client


@pytest.mark.parametrize(
    ("packet", "answer", "greeting"),
    [
        ("40", "40", '42["auth",{}]'),
        ('40{"token":"123"}', "40", '42["auth",{"token":"123"}]'),
        ("40/custom,", "40/custom,", '42/custom,["auth",{}]'),
        ("40/custom", "40/custom,", '42/custom,["auth",{}]'),
        ('40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'),
    ],
)
@asynchronous
async def test_a_client_is_let_into_a_namespace(packet: str, answer: str, greeting: str) -> None:
    async with opened() as client:
        await client.say(packet)
        handshake = await client.text()
        assert handshake.startswith(answer + "{")
        assert set(json.loads(handshake[len(answer) :])) == {"sid"}
        assert await client.text() == greeting


@asynchronous
async def test_an_unknown_namespace_is_refused_by_name() -> None:
    async with opened() as client:
        await client.say("40/random")
        assert await client.text() == '44/random,{"message":"Invalid namespace"}'


@asynchronous
async def test_who_joins_no_namespace_is_sent_away() -> None:
    app = App(**{**SUITE_SETTINGS, "connect_timeout": 0.05, "ping_timeout": 5.0})
    async with serving(app) as site:
        client = await WebSocketClient.opened(site)
        assert await client.close_code() == 1000


@asynchronous
async def test_leaving_the_main_namespace_is_not_answered_and_keeps_the_connection() -> None:
    app = App(**{**SUITE_SETTINGS, "ping_interval": 0.05, "ping_timeout": 5.0})
    socketio_app(app)
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        client.answers_pings = False
        assert await client.text() == '42["auth",{}]'
        await client.say("41")
        assert await client.text() == "2"


@asynchronous
async def test_leaving_a_namespace_leaves_the_other() -> None:
    async with joined() as client:
        await client.say("40/custom")
        assert (await client.text()).startswith("40/custom,")
        await client.text()
        await client.say("41/custom", '42["message","to the main namespace"]')
        assert await client.text() == '42["message-back","to the main namespace"]'


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']),
        (['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']),
        (
            [
                '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                b"\x01\x02\x03",
                b"\x04\x05\x06",
            ],
            [
                '452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                b"\x01\x02\x03",
                b"\x04\x05\x06",
            ],
        ),
        (
            [
                '452-789["message-with-ack",{"_placeholder":true,"num":0},'
                '{"_placeholder":true,"num":1}]',
                b"\x01\x02\x03",
                b"\x04\x05\x06",
            ],
            [
                '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                b"\x01\x02\x03",
                b"\x04\x05\x06",
            ],
        ),
    ],
    ids=["event", "ack", "binary event", "binary ack"],
)
@asynchronous
async def test_messages(sent: list[str | bytes], heard: list[str | bytes]) -> None:
    async with joined() as client:
        await client.say(*sent)
        assert [await client.hear() for _ in heard] == heard


@pytest.mark.parametrize("packet", ["4abc", "42{}", '42abc["message-with-ack",1]'])
@asynchronous
async def test_what_is_no_packet_ends_the_connection(packet: str) -> None:
    async with joined() as client:
        await client.say(packet)
        assert await client.close_code() == 1008


@asynchronous
async def test_what_is_no_packet_before_joining_ends_the_connection_too() -> None:
    async with opened() as client:
        await client.say("4abc")
        assert await client.close_code() == 1008
