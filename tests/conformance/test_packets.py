"""Socket.IO packets beyond the official suite's cases: each kind that is wrong ends the connection
with 1008 and without an error of ours; each that is right and unusual is served.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hocket import App
from hocket.testing.conformance import SERVERS, socketio_app
from tests.support import (
    TEXT,
    PollingClient,
    Site,
    WebSocketClient,
    asynchronous,
    eventually,
    serving,
)

CALM: dict[str, Any] = {"ping_interval": 600.0, "ping_timeout": 600.0, "connect_timeout": 600.0}


@asynccontextmanager
async def suite_server(server: str = "socketio", **settings: Any) -> AsyncIterator[Site]:
    given, make_worker = SERVERS[server]
    app = App(**given)
    socketio_app(app)
    async with serving(app, make_worker, **{**CALM, **settings}) as site:
        yield site


@asynccontextmanager
async def client_of_a_server(**settings: Any) -> AsyncIterator[tuple[Site, WebSocketClient]]:
    async with suite_server(**settings) as site, await WebSocketClient.opened(site) as client:
        yield site, client


async def connect(client: WebSocketClient, namespace: str = "", auth: str = "") -> str:
    """Join a namespace (`/custom,`; empty: the main one); the socket's id."""
    await client.say(f"40{namespace}{auth}")
    answer = await client.text()
    assert answer.startswith(f"40{namespace}{{")
    sid = json.loads(answer.removeprefix(f"40{namespace}"))["sid"]
    assert await client.text() == f'42{namespace}["auth",{auth or "{}"}]'
    assert isinstance(sid, str)
    return sid


async def still_serves(client: WebSocketClient) -> None:
    await client.say('42["message","still there?"]')
    assert await client.text() == '42["message-back","still there?"]'


async def ends(site: Site, client: WebSocketClient) -> None:
    assert await client.close_code() == 1008
    assert site.sessions == 0
    assert site.alarms.messages == []


# Connect and disconnect


@pytest.mark.parametrize("namespace", ["", "/custom,"])
@pytest.mark.parametrize("auth", ["", '{"token":"123"}', '{"a":[1,{"b":null}],"c":"€"}'])
@asynchronous
async def test_the_socket_id_opens_no_session(namespace: str, auth: str) -> None:
    async with client_of_a_server() as (_, client):
        assert await connect(client, namespace, auth) != client.handshake["sid"]


@asynchronous
async def test_the_main_namespace_may_be_named() -> None:
    async with client_of_a_server() as (_, client):
        await client.say('40/,{"token":"123"}')
        assert (await client.text()).startswith('40{"sid":')
        assert await client.text() == '42["auth",{"token":"123"}]'


@pytest.mark.parametrize("packet", ["4", "47", "40{", "40[]", '40"auth"', "40/custom,[1]"])
@asynchronous
async def test_a_connect_that_is_none(packet: str) -> None:
    async with client_of_a_server() as (site, client):
        await client.say(packet)
        await ends(site, client)


@asynchronous
async def test_who_connects_twice() -> None:
    """Is in once, anew: see test_used_to.py."""
    async with client_of_a_server() as (_, client):
        await connect(client)
        await connect(client)
        await still_serves(client)


@asynchronous
async def test_who_connects_stays_past_the_connect_timeout() -> None:
    async with client_of_a_server(connect_timeout=0.1, ping_interval=1.0) as (site, client):
        await connect(client)
        async with await WebSocketClient.opened(site) as silent:
            assert await silent.close_code() == 1000  # so the time of the first is over too
        await still_serves(client)


@asynchronous
async def test_engine_io_alone_knows_no_connect_timeout() -> None:
    """Five heartbeats at the suite's own pace take longer than its connect timeout of 1 s, which is
    about Socket.IO's CONNECT; this server speaks Engine.IO.
    """
    given, make_worker = SERVERS["engineio"]
    async with (
        serving(App(**given), make_worker, ping_timeout=600.0) as site,
        await WebSocketClient.opened(site, "/engine.io/") as client,
    ):
        for _ in range(5):
            assert await client.frame() == (TEXT, b"2")
            await client.say("3")
        await client.say("4still there?")
        assert await client.hear() == "4still there?"


@asynchronous
async def test_who_leaves_may_come_back_as_somebody_new() -> None:
    async with client_of_a_server() as (_, client):
        first = await connect(client)
        await client.say("41")
        assert await connect(client) != first


@asynchronous
async def test_an_event_for_a_namespace_that_was_left() -> None:
    async with client_of_a_server() as (site, client):
        await connect(client)
        await client.say("41", '42["message"]')
        await ends(site, client)


@asynchronous
async def test_the_end_of_the_connection_ends_every_socket_of_it() -> None:
    async with suite_server() as site:
        async with await WebSocketClient.opened(site) as client:
            await connect(client)
            await connect(client, "/custom,")
        await eventually(lambda: site.sessions == 0)
        assert not site.worker.hub.namespaces["/"].sockets
        assert not site.worker.hub.namespaces["/custom"].sockets


# Messages


@asynchronous
async def test_attachments_over_polling() -> None:
    async with suite_server() as site:
        client = await PollingClient.opened(site)
        assert (await client.post("40")).body == b"ok"
        connected, greeting = await client.hear()
        assert connected.startswith('40{"sid":')
        assert greeting == '42["auth",{}]', "what connect emits is in the same answer"
        one, two = '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}'
        sent = [f'452-["message",{two},{one}]', "bAQI=", "bAw=="]
        assert (await client.post(*sent)).status == 200
        assert await client.hear() == [f'452-["message-back",{one},{two}]', "bAw==", "bAQI="]


@pytest.mark.parametrize(
    "arguments", ["", ",1,true,null", ',"€ \U0001f600"', ',[1,[2,{"three":3.5}]],{}', ',"\\u0000"']
)
@asynchronous
async def test_an_event_comes_and_goes(arguments: str) -> None:
    async with client_of_a_server() as (_, client):
        await connect(client)
        await client.say(f'42["message"{arguments}]')
        answer = await client.text()
        assert answer.startswith('42["message-back"')
        assert json.loads(answer[2:]) == json.loads(f'["message-back"{arguments}]')


@pytest.mark.parametrize("ack_id", [0, 1, 999_999_999])
@asynchronous
async def test_an_ack_has_the_id_of_its_event(ack_id: int) -> None:
    async with client_of_a_server() as (_, client):
        await connect(client)
        await client.say(f'42{ack_id}["message-with-ack"]')
        assert await client.text() == f"43{ack_id}[]"


@asynchronous
async def test_what_nobody_handles_or_waits_for_is_nothing() -> None:
    async with client_of_a_server() as (_, client):
        await connect(client)
        await client.say('42["never heard of",1]', '4211["never heard of"]')
        await client.say(
            "4312345[1]", "43[1]", "430[]", '461-7[{"_placeholder":true,"num":0}]', b"\x01"
        )
        await still_serves(client)


@pytest.mark.parametrize(
    "packet",
    [
        "42",  # an event without a payload
        "42[]",
        '42"message"',
        "42[true]",
        "42[null]",
        '42["message"',
        '42["message"]x',
        '42["message",NaN]',
        '42["connect"]',  # names that only libraries use
        '42["disconnecting"]',
        '42-1["message-with-ack",1]',  # an ack id is a number
        "431",
        "431{}",
        '44{"message":"no"}',  # only servers refuse
        "41{}",
        '45["message"]',  # a binary event says how many attachments come
        '421-["message"]',  # and a plain one says nothing of the kind
    ],
)
@asynchronous
async def test_a_malformed_packet(packet: str) -> None:
    async with client_of_a_server() as (site, client):
        await connect(client)
        await client.say(packet)
        await ends(site, client)


PLACEHOLDER = '{"_placeholder":true,"num":%s}'


@pytest.mark.parametrize(
    "packets",
    [
        [b"\x01"],  # an attachment of nothing
        [f'451-["message",{PLACEHOLDER % 0}]', '42["message"]'],  # it is missing
        [f'451-["message",{PLACEHOLDER % 1}]', b"\x01"],  # there is no second one
        [f'451-["message",{PLACEHOLDER % -1}]', b"\x01"],
        [f'451-["message",{PLACEHOLDER % "0.0"}]', b"\x01"],
        [f'451-["message",{PLACEHOLDER % "true"}]', b"\x01"],
        ['451-["message",{"_placeholder":true}]', b"\x01"],
        ['4511-["message"]'],  # more than Socket.IO's own parser takes
        ['459999999999-["message"]'],
    ],
)
@asynchronous
async def test_attachments_that_do_not_fit(packets: list[str | bytes]) -> None:
    async with client_of_a_server() as (site, client):
        await connect(client)
        await client.say(*packets)
        await ends(site, client)


@pytest.mark.parametrize("depth", [600, 900, 5_000])
@asynchronous
async def test_an_attachment_too_deep_to_be_put_in_its_place(depth: int) -> None:
    """Deep enough for the JSON to be read and not for the attachment to be restored, or neither."""
    async with client_of_a_server() as (site, client):
        await connect(client)
        await client.say(
            f'451-["message",{"[" * depth}{PLACEHOLDER % 0}{"]" * depth}]', b"attachment"
        )
        await ends(site, client)
