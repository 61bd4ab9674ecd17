"""Engine.IO, protocol 4: what the official test suite asks of a server, in words of our own.

The first half must hold under Socket.IO too, so it runs on both servers of
`hocket.testing.conformance`; the second needs the echo of the `engineio` one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hocket import App
from hocket.testing.conformance import SERVERS, socketio_app
from tests.support import (
    BINARY,
    CLOSE,
    TEXT,
    Answer,
    Gone,
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    frame,
    serving,
)

PATHS = {"engineio": "/engine.io/", "socketio": "/socket.io/"}

# The suite's own heartbeat leaves a client 200 ms; where the heartbeat is not what is tested a slow
# machine gets longer.
PATIENT: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 600.0, "connect_timeout": 600.0}
CALM: dict[str, Any] = {"ping_interval": 600.0, "ping_timeout": 600.0, "connect_timeout": 600.0}

both = pytest.mark.parametrize("server", ["engineio", "socketio"])


@asynccontextmanager
async def suite_server(server: str, **settings: Any) -> AsyncIterator[Site]:
    given, make_worker = SERVERS[server]
    app = App(**given)
    socketio_app(app)
    async with serving(app, make_worker, **settings) as site:
        yield site


async def refusal_of(server: str, method: str, query: str) -> Answer:
    async with suite_server(server) as site:
        return await ask(site, method, PATHS[server] + query)


# Handshake


@both
@asynchronous
async def test_a_get_opens_a_polling_session(server: str) -> None:
    async with suite_server(server) as site:
        client = await PollingClient.opened(site, PATHS[server])
        assert list(client.handshake) == [
            "sid",
            "upgrades",
            "pingInterval",
            "pingTimeout",
            "maxPayload",
        ]
        assert isinstance(client.handshake.pop("sid"), str)
        assert client.handshake == {
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        }


@both
@asynchronous
async def test_a_websocket_opens_a_session_that_cannot_upgrade(server: str) -> None:
    async with (
        suite_server(server) as site,
        await WebSocketClient.opened(site, PATHS[server]) as client,
    ):
        assert isinstance(client.handshake.pop("sid"), str)
        assert client.handshake == {
            "upgrades": [],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        }


@both
@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([], ""),
        (["my-v1"], "my-v1"),
        (["my-v1, my-v2"], "my-v1"),
        (["my-v1 ,my-v2", "my-v3"], "my-v1"),
        (["a b"], ""),
        ([""], ""),
    ],
)
@asynchronous
async def test_the_first_subprotocol_that_is_offered_is_agreed_to(
    server: str, offered: list[str], agreed: str
) -> None:
    """A browser that offers one fails the connection otherwise."""
    async with suite_server(server, **CALM) as site:
        polling = await PollingClient.opened(site, PATHS[server])
        upgrade = polling.target.replace("transport=polling", "transport=websocket")
        for target in (f"{PATHS[server]}?EIO=4&transport=websocket", upgrade):
            async with await Wire.to(site) as wire:
                fields = [f"Sec-WebSocket-Protocol: {each}" for each in offered]
                answer = await wire.upgrade(target, *fields)
                assert (answer.status, answer["sec-websocket-protocol"]) == (101, agreed)


@both
@asynchronous
async def test_session_ids_differ(server: str) -> None:
    async with suite_server(server, **CALM) as site:
        opened = [await PollingClient.opened(site, PATHS[server]) for _ in range(20)]
        assert len({client.handshake["sid"] for client in opened}) == 20


UNKNOWN_TRANSPORT = {"code": 0, "message": "Transport unknown"}
BAD_METHOD = {"code": 2, "message": "Bad handshake method"}
BAD_VERSION = {"code": 5, "message": "Unsupported protocol version"}


@both
@pytest.mark.parametrize(
    ("method", "query", "error"),
    [
        ("GET", "?transport=polling", BAD_VERSION),
        ("GET", "?EIO=abc&transport=polling", BAD_VERSION),
        ("GET", "?EIO=3&transport=polling", BAD_VERSION),
        ("GET", "?EIO=4", UNKNOWN_TRANSPORT),
        ("GET", "?EIO=4&transport=abc", UNKNOWN_TRANSPORT),
        ("GET", "", UNKNOWN_TRANSPORT),
        ("POST", "?EIO=4&transport=polling", BAD_METHOD),
        ("PUT", "?EIO=4&transport=polling", BAD_METHOD),
        ("DELETE", "?EIO=4&transport=polling", BAD_METHOD),
    ],
)
@asynchronous
async def test_a_polling_handshake_that_is_wrong(
    server: str, method: str, query: str, error: dict[str, Any]
) -> None:
    answer = await refusal_of(server, method, query)
    assert answer.status == 400
    assert answer.json == error


@both
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?transport=websocket", BAD_VERSION),
        ("?EIO=abc&transport=websocket", BAD_VERSION),
        ("?EIO=4", UNKNOWN_TRANSPORT),
        ("?EIO=4&transport=abc", UNKNOWN_TRANSPORT),
    ],
)
@asynchronous
async def test_a_websocket_handshake_that_is_wrong(
    server: str, query: str, error: dict[str, Any]
) -> None:
    async with suite_server(server) as site, await Wire.to(site) as wire:
        answer = await wire.upgrade(PATHS[server] + query)
        assert answer.status == 400
        assert answer.json == error
        assert await wire.is_closed()


# Heartbeat


@both
@asynchronous
async def test_heartbeats_over_polling(server: str) -> None:
    async with suite_server(server, **PATIENT) as site:
        client = await PollingClient.opened(site, PATHS[server])
        for _ in range(3):
            assert (await client.poll()).body == b"2"
            assert (await client.post("3")).body == b"ok"
        assert site.sessions == 1


@both
@asynchronous
async def test_heartbeats_over_websocket(server: str) -> None:
    async with (
        suite_server(server, **PATIENT) as site,
        await WebSocketClient.opened(site, PATHS[server]) as client,
    ):
        for _ in range(3):
            assert await client.frame() == (TEXT, b"2")
            await client.say("3")
        assert site.sessions == 1


@both
@asynchronous
async def test_who_does_not_answer_a_ping_over_polling_is_gone(server: str) -> None:
    async with suite_server(server) as site:
        client = await PollingClient.opened(site, PATHS[server])
        assert (await client.poll()).body == b"2"
        last = await client.poll()  # waits until the session ends, and is told so
        assert (last.status, last.body) in ((200, b"1"), (400, last.body))
        assert (await client.poll()).status == 400
        assert site.sessions == 0


@both
@asynchronous
async def test_who_never_polls_is_gone(server: str) -> None:
    async with suite_server(server) as site:
        client = await PollingClient.opened(site, PATHS[server])
        connection = site.worker.engine.connections[client.handshake["sid"]]
        while not connection.closed:
            await asyncio.sleep(0.01)
        assert (await client.poll()).status == 400


@both
@asynchronous
async def test_who_does_not_answer_a_ping_over_websocket_is_gone(server: str) -> None:
    async with (
        suite_server(server) as site,
        await WebSocketClient.opened(site, PATHS[server]) as client,
    ):
        assert await client.frame() == (TEXT, b"2")
        assert await client.is_closed()
        assert site.sessions == 0


# Close


@both
@asynchronous
async def test_a_client_closes_while_it_polls(server: str) -> None:
    async with suite_server(server, **CALM) as site, await Wire.to(site) as poll:
        client = await PollingClient.opened(site, PATHS[server])
        waiting = asyncio.create_task(poll.request("GET", client.target))
        assert (await client.post("1")).body == b"ok"
        # Whichever request came first: the poll ends, and there is no session behind it.
        answer = await waiting
        assert (answer.status, answer.body) == (200, b"6") or answer.status == 400
        assert (await client.poll()).status == 400
        assert site.sessions == 0


@both
@asynchronous
async def test_a_client_closes_over_websocket(server: str) -> None:
    async with (
        suite_server(server, **CALM) as site,
        await WebSocketClient.opened(site, PATHS[server]) as client,
    ):
        await client.say("1")
        with pytest.raises(Gone):
            await client.hear()
        assert site.sessions == 0


# Upgrade


async def upgraded(site: Site, path: str) -> tuple[PollingClient, WebSocketClient]:
    """A session that has moved from polling to a WebSocket."""
    polling = await PollingClient.opened(site, path)
    websocket = await WebSocketClient.to(site)
    answer = await websocket.upgrade(
        polling.target.replace("transport=polling", "transport=websocket")
    )
    assert answer.status == 101
    await websocket.say("2probe")
    assert await websocket.frame() == (TEXT, b"3probe")
    await websocket.say("5")
    return polling, websocket


@both
@asynchronous
async def test_an_upgrade_ends_the_waiting_poll(server: str) -> None:
    async with suite_server(server, **CALM) as site:
        polling = await PollingClient.opened(site, PATHS[server])
        async with await WebSocketClient.to(site) as websocket:
            await websocket.upgrade(
                polling.target.replace("transport=polling", "transport=websocket")
            )
            await websocket.say("2probe")
            assert await websocket.frame() == (TEXT, b"3probe")
            waiting = await polling.poll()
            assert (waiting.status, waiting.body) == (200, b"6")
            await websocket.say("5")
            await websocket.say("40" if server == "socketio" else "4hello")
            # The first frame is the answer: nothing else is said on the new transport.
            heard = await websocket.text()
            assert heard.startswith('40{"sid":') if server == "socketio" else heard == "4hello"


@both
@asynchronous
async def test_polls_of_a_session_that_moved_are_refused(server: str) -> None:
    async with suite_server(server, **CALM) as site:
        polling, websocket = await upgraded(site, PATHS[server])
        async with websocket:
            await websocket.say("40" if server == "socketio" else "4there?")
            await websocket.text()  # so "5" has been read
            assert (await polling.poll()).status == 400
            assert (await polling.post("4abc")).status == 400
            assert site.sessions == 1


@both
@asynchronous
async def test_a_second_websocket_of_a_session_that_moved_is_shown_out(server: str) -> None:
    async with suite_server(server, **CALM) as site:
        polling, websocket = await upgraded(site, PATHS[server])
        async with websocket, await Wire.to(site) as late:
            answer = await late.upgrade(
                polling.target.replace("transport=polling", "transport=websocket")
            )
            assert answer.status == 101  # a client library may fall over an HTTP error here
            assert (await late.frame())[0] == CLOSE
            assert await late.is_closed()
            assert site.sessions == 1


# Messages, on the echo


@asynchronous
async def test_polling_echoes_one_packet() -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        answer = await client.post("4hello")
        assert (answer.status, answer.body) == (200, b"ok")
        poll = await client.poll()
        assert (poll.status, poll.body) == (200, b"4hello")
        assert poll["content-type"] == "text/plain; charset=UTF-8"


@asynchronous
async def test_polling_echoes_several_packets_in_order() -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        sent = ["4test1", "4test2", "4", "4\u20ac uro \U0001f600"]
        assert (await client.post(*sent)).status == 200
        assert (await client.poll()).body == "\x1e".join(sent).encode()


@asynchronous
async def test_polling_echoes_text_and_binary() -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        assert (await client.post("4hello", "bAQIDBA==")).status == 200
        assert (await client.poll()).body == b"4hello\x1ebAQIDBA=="


@pytest.mark.parametrize(
    "body", [b"abc", b"", b"7", b"0", b"2", b"5", b"bAQ=I", b"b\xff", b"4ok\x1e\x1e", b"\xff\xfe"]
)
@asynchronous
async def test_a_bad_packet_ends_a_polling_session(body: bytes) -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        answer = await ask(site, "POST", client.target, body=body)
        assert answer.status == 400
        assert (await client.poll()).status == 400
        assert site.sessions == 0


@asynchronous
async def test_two_polls_at_a_time_end_the_session() -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        answers = await asyncio.gather(client.poll(), client.poll())
        first, second = sorted(answers, key=lambda answer: answer.status)
        assert (first.status, first.body) == (200, b"1")
        assert second.status == 400
        assert (await client.poll()).status == 400


@asynchronous
async def test_a_cancelled_poll_ends_the_session() -> None:
    async with suite_server("engineio", **CALM) as site:
        client = await PollingClient.opened(site, "/engine.io/")
        async with await Wire.to(site) as wire:
            await wire.send(f"GET {client.target} HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
        while site.sessions:
            await asyncio.sleep(0.005)
        assert (await client.poll()).status == 400


@asynchronous
async def test_a_websocket_echoes_text_and_binary() -> None:
    async with (
        suite_server("engineio", **CALM) as site,
        await WebSocketClient.opened(site, "/engine.io/") as client,
    ):
        await client.say("4hello")
        assert await client.hear() == "4hello"
        await client.say(b"\x01\x02\x03\x04")
        assert await client.hear() == b"\x01\x02\x03\x04"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1_000_000])
@asynchronous
async def test_a_websocket_echoes_messages_of_every_length(size: int) -> None:
    async with (
        suite_server("engineio", **CALM) as site,
        await WebSocketClient.opened(site, "/engine.io/") as client,
    ):
        data = bytes(range(256)) * (size // 256 + 1)
        await client.say(data[:size])
        assert await client.frame() == (BINARY, data[:size])


@pytest.mark.parametrize("packet", ["abc", "", "0", "2", "5", "6", "2probe"])
@asynchronous
async def test_a_bad_packet_ends_a_websocket_session(packet: str) -> None:
    async with (
        suite_server("engineio", **CALM) as site,
        await WebSocketClient.opened(site, "/engine.io/") as client,
    ):
        await client.send(frame(TEXT, packet.encode()))
        assert await client.close_code() == 1008
        assert site.sessions == 0


@asynchronous
async def test_what_polling_had_not_fetched_comes_over_the_websocket() -> None:
    async with suite_server("engineio", **CALM) as site:
        polling = await PollingClient.opened(site, "/engine.io/")
        assert (await polling.post("4one", "4two")).status == 200
        websocket = await WebSocketClient.to(site)
        async with websocket:
            await websocket.upgrade(
                polling.target.replace("transport=polling", "transport=websocket")
            )
            await websocket.say("2probe")
            assert await websocket.frame() == (TEXT, b"3probe")
            await websocket.say("5", "4three")
            assert [await websocket.text() for _ in range(3)] == ["4one", "4two", "4three"]
