"""What a proxy can spoil: sizes, streams, the slow and the leaving; and what it must refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.certificates import Certificate
from tests.deploy.fronts import PROXIED, Front, in_front
from tests.deploy.secure import Poller, SecureWebSocket, SecureWire, arguments
from tests.support import Wire, asynchronous, head

LIMIT = 1_000_000  # of requests: `max_payload`, and the same in every file of deploy/

METRICS = [
    "/metrics",
    "/metrics?a=b",
    "/metrics/",
    "//metrics",
    "/%6detrics",
    "/%6Detric%73",
    "/x/../metrics",
    "/./metrics",
    "/metrics/../metrics",
    "/metrics%3Fa",
    "https://localhost/metrics",
    "/METRICS",
    "/metrics;x",
    "/metrics%00",
]
AMBIGUOUS = [
    ("Content-Length: 5", "Content-Length: 6"),
    ("Transfer-Encoding: chunked, identity",),
    ("Content-Length: +5",),
    ("Bad Name: x",),
]


@pytest.fixture(scope="module")
def app_behind(
    name: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp(name)
    with in_front(name, PROXIED, certificate, folder, max_outbox=100_000) as front:
        yield front


@pytest.fixture(scope="module")
def where(app_behind: Front) -> str:
    return app_behind.url


# Sizes


@asynchronous
async def test_a_body_of_the_limit_passes_and_a_larger_one_is_refused(where: str) -> None:
    async with await SecureWire.to(where) as wire:
        assert (await wire.request("POST", "/size", body=b"x" * LIMIT)).json == LIMIT
    for over in (1, LIMIT):
        async with await SecureWire.to(where) as wire:
            assert (await wire.request("POST", "/size", body=b"x" * (LIMIT + over))).status == 413


@asynchronous
async def test_a_body_that_does_not_say_its_size_is_refused_too(where: str) -> None:
    async with await SecureWire.to(where) as wire:
        await wire.send(head(wire.host, "/size", "POST", "Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%b\r\n" % (100_000, b"x" * 100_000)
        await wire.send(chunk * 11 + b"0\r\n\r\n")
        assert (await wire.answer()).status == 413


@asynchronous
async def test_a_refusal_by_hocket_itself_arrives(
    name: str, certificate: Certificate, tmp_path: Path
) -> None:
    """Hocket answers at the head, while the proxy still sends the body."""
    with in_front(name, PROXIED, certificate, tmp_path, max_payload=50_000) as front:
        for _ in range(10):
            async with await SecureWire.to(front.url) as wire:
                answer = await wire.request("POST", "/size", body=b"x" * 900_000)
                assert answer.status == 413


@asynchronous
async def test_a_message_over_the_limit_ends_with_1009(where: str) -> None:
    async with await SecureWebSocket.joined(where) as client:
        assert arguments(await client.text())[0] == "seen"
        await client.say("42" + json.dumps(["echo", "x" * LIMIT]))
        assert await client.close_code() == 1009


@asynchronous
async def test_large_messages_pass_both_ways(where: str) -> None:
    text = "x" * (LIMIT - 100)
    async with await SecureWebSocket.joined(where) as client:
        assert arguments(await client.text())[0] == "seen"
        await client.say("421" + json.dumps(["echo", text]))
        assert arguments(await client.text()) == [["nobody", text]]
    async with await SecureWire.to(where) as wire:
        poller = await Poller.joined(wire)
        await poller.event()
        await poller.say("421" + json.dumps(["echo", text]))
        assert await poller.event() == [["ada", text]]


# Time


@asynchronous
async def test_server_sent_events_of_a_route_are_not_held_back(where: str) -> None:
    """Each event is sent when the one before has arrived."""
    async with await SecureWire.to(where) as stream, await SecureWire.to(where) as other:
        await stream.send(head(stream.host, "/steps", "GET", "Accept: text/event-stream"))
        assert b" 200 " in await stream.up_to(b"\r\n")
        await stream.up_to(b"data: begin\n\n")
        for at in range(5):
            assert (await other.request("POST", "/steps", body=b"step %d" % at)).status == 204
            await stream.up_to(b"data: step %d\n\n" % at)
        assert (await other.request("POST", "/steps", body=b"end")).status == 204
        await stream.up_to(b"\r\n0\r\n\r\n")


@asynchronous
async def test_server_sent_events_are_not_held_back(where: str) -> None:
    async with await SecureWire.to(where) as stream, await SecureWebSocket.joined(where) as client:
        await stream.send(head(stream.host, "/events", "GET", "Accept: text/event-stream"))
        assert b" 200 " in await stream.up_to(b"\r\n")
        await stream.up_to(b"retry: ")
        for at in range(5):
            await client.say(f'42["tell","{at}"]')
            await stream.up_to(b'event: told\ndata: ["%d"]\n' % at)


@asynchronous
async def test_hocket_learns_that_a_listener_has_gone(where: str) -> None:
    async with await SecureWebSocket.joined(where) as other:
        assert arguments(await other.text())[0] == "seen"
        stream = await SecureWire.to(where)
        await stream.send(head(stream.host, "/events?user=listener"))
        await stream.up_to(b"retry: ")
        stream.close()
        assert arguments(await other.text())[:2] == ["gone", "listener"]


@asynchronous
async def test_a_slow_reader_gets_everything_and_holds_nobody_up(where: str) -> None:
    async with await SecureWire.to(where, 4096) as slow, await SecureWire.to(where) as quick:
        await slow.send(head(slow.host, "/large"))
        for _ in range(20):
            assert (await quick.request("GET", "/who")).status == 200
        assert (await slow.answer()).body == b"x" * 900_000


@asynchronous
async def test_a_slow_sender_is_waited_for_and_holds_nobody_up(where: str) -> None:
    async with await SecureWire.to(where) as slow, await SecureWire.to(where) as quick:
        await slow.send(head(slow.host, "/size", "POST", "Content-Length: 20"))
        for _ in range(20):
            await slow.send(b"x")
            assert (await quick.request("GET", "/who")).status == 200
        assert (await slow.answer()).json == 20


@asynchronous
async def test_who_does_not_read_is_disconnected_and_others_hear_everything(where: str) -> None:
    """The proxy's buffers fill, then Hocket's, and then it is a slow consumer."""
    async with await SecureWebSocket.to(where, 4096) as slow:
        await slow.upgrade("/socket.io/?EIO=4&transport=websocket")
        await slow.say('40{"user":"slow"}', '420["join","hall"]')
        while not (await slow.text()).startswith("430"):
            pass
        async with await SecureWebSocket.joined(where) as lively:
            gone, sent = False, 0
            while not gone:
                await lively.say(f'42{sent}["fill","hall",500000]')
                sent += 1
                assert sent < 400, "200 MB do not wait in a proxy"
                while True:
                    packet = await lively.text()
                    gone = gone or packet == '42["gone","slow","slow-consumer"]'
                    if packet.startswith("43"):
                        break


@asynchronous
async def test_hocket_learns_that_a_polling_client_has_gone(where: str) -> None:
    """At once, from its poll: it need not wait for the heartbeat."""
    async with await SecureWebSocket.joined(where) as other:
        assert arguments(await other.text())[0] == "seen"
        wire = await SecureWire.to(where)
        poller = await Poller.joined(wire, "leaver")
        assert (await poller.event())[0] == "seen"
        told = asyncio.ensure_future(other.text())
        while not told.done():  # who leaves before the proxy has passed the poll on, tries again
            await wire.send(head(wire.host, poller.target))
            await asyncio.wait({told}, timeout=0.2)
            wire.close()
            await asyncio.wait({told}, timeout=1.0)
            wire = wire if told.done() else await SecureWire.to(where)
        assert arguments(await told) == ["gone", "leaver", "transport error"]


@asynchronous
async def test_hocket_learns_that_a_websocket_client_has_gone(where: str) -> None:
    async with await SecureWebSocket.joined(where) as other:
        assert arguments(await other.text())[0] == "seen"
        leaver = await SecureWebSocket.joined(where)
        assert arguments(await leaver.text())[0] == "seen"
        leaver.close()
        assert arguments(await other.text()) == ["gone", "nobody", "transport close"]


# What is refused


@asynchronous
async def test_metrics_are_not_for_strangers(where: str) -> None:
    for target in METRICS:
        async with await SecureWire.to(where) as wire:
            answer = await wire.request("GET", target)
            assert answer.status in (400, 404), target
            assert b"inner" not in answer.body


@asynchronous
async def test_a_request_that_two_could_read_differently_gets_no_further(where: str) -> None:
    """Neither this request nor what is smuggled behind it is answered with 200."""
    for fields in AMBIGUOUS:
        async with await SecureWire.to(where) as wire:
            smuggled = head(wire.host, "/who")
            await wire.send(head(wire.host, "/size", "POST", *fields) + b"0\r\n\r\n" + smuggled)
            answers = await wire.rest()
            assert b'"https"' not in answers, fields


@asynchronous
async def test_a_body_with_two_kinds_of_length_has_one_at_hocket(where: str) -> None:
    """Refused, or chunked counts (RFC 9112 section 6.3): never five bytes of the next request."""
    async with await SecureWire.to(where) as wire:
        both = ("Content-Length: 5", "Transfer-Encoding: chunked")
        await wire.send(head(wire.host, "/size", "POST", *both) + b"0\r\n\r\n")
        answer = await wire.answer()
        assert answer.status == 400 or answer.json == 0


@asynchronous
async def test_a_head_that_is_too_large_is_refused(where: str) -> None:
    async with await SecureWire.to(where) as wire:
        answer = await wire.request("GET", "/who", *[f"X-{at}: {'x' * 900}" for at in range(60)])
        assert answer.status in (400, 431)


@asynchronous
async def test_http_goes_to_https(app_behind: Front) -> None:
    async with await Wire.to(app_behind.insecure_url) as wire:
        answer = await wire.request("GET", "/socket.io/?EIO=4")
        assert answer.status == 308
        assert answer["location"].startswith("https://127.0.0.1")
        assert answer["location"].endswith("/socket.io/?EIO=4")


@asynchronous
async def test_browsers_are_told_to_stay_with_https(where: str) -> None:
    async with await SecureWire.to(where) as wire:
        answer = await wire.request("GET", "/who")
        assert answer["strict-transport-security"] == "max-age=31536000"
