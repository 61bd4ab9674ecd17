"""Web Push against an independent push service in Node, and against services that misbehave."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from hocket.providers.base import Dead, Delivered, Failed, Outcome, Retry
from hocket.providers.encryption import point_of, read_point
from hocket.providers.vapid import LIFETIME, RENEW, Vapid, decode, encode, make_private_key
from hocket.providers.webpush import WebPush, topic
from tests.integration.programs import program
from tests.peers import HANG, RESET, answer, in_turn, peer, push, settings
from tests.support import asynchronous

NODE = Path(__file__).resolve().parents[2] / "node"
SUBJECT = "mailto:you@example.com"

needs_node = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js"),
    pytest.mark.skipif(
        not (NODE / "node_modules/web-push-testing").exists(),
        reason="npm ci was not run in tests/node",
    ),
]


def provider() -> WebPush:
    return WebPush(settings(vapid_private_key=make_private_key(), vapid_subject=SUBJECT))


def subscription(endpoint: str) -> str:
    keys = {
        "p256dh": encode(point_of(generate_private_key(SECP256R1()))),
        "auth": encode(bytes(16)),
    }
    return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": keys})


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with program("node", "pushservice.mjs", cwd=NODE) as running:
        yield running.line()


async def ask(url: str, **body: Any) -> Any:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return await response.json() if response.content_type == "application/json" else None


async def subscribed(service: str, sender: WebPush) -> tuple[str, str]:
    """A device of the push service: its hash there, and its token here."""
    key = sender.public_key
    made = (await ask(f"{service}/subscribe", applicationServerKey=key, userVisibleOnly="true"))[
        "data"
    ]
    wanted = {"endpoint": made["endpoint"], "keys": made["keys"]}
    return made["clientHash"], sender.check(json.dumps(wanted))


class TestAgainstAnIndependentService:
    pytestmark = needs_node

    @asynchronous
    async def test_it_decrypts_what_we_send(self, service: str) -> None:
        sender = provider()
        client, token = await subscribed(service, sender)
        assert isinstance(await sender.send(push(token)), Delivered)
        got = await ask(f"{service}/get-notifications", clientHash=client)
        assert [json.loads(each) for each in got["data"]["messages"]] == [
            {
                "id": "n1",
                "title": "Hello",
                "body": "The kettle boils",
                "data": {"room": "kitchen", "count": 3},
                "url": "https://example.com/kitchen",
                "icon": "https://example.com/icon.png",
                "tag": "kettle",
            }
        ]
        await sender.close()

    @asynchronous
    async def test_the_longest_message_arrives_whole_json(self, service: str) -> None:
        sender = provider()
        client, token = await subscribed(service, sender)
        assert isinstance(await sender.send(push(token, body="ü" * 4000)), Delivered)
        got = await ask(f"{service}/get-notifications", clientHash=client)
        told = got["data"]["messages"][0]
        assert 3_990 <= len(told.encode()) <= 3_993
        assert json.loads(told)["body"].endswith("ü…")
        await sender.close()

    @asynchronous
    async def test_a_subscription_that_ended_is_dead(self, service: str) -> None:
        sender = provider()
        client, token = await subscribed(service, sender)
        await ask(f"{service}/expire-subscription/{client}")
        outcome = await sender.send(push(token))
        assert outcome == Dead("HTTP 410 the subscription has ended")
        await sender.close()

    @asynchronous
    async def test_another_server_s_key_is_refused_and_the_device_kept(self, service: str) -> None:
        sender, other = provider(), provider()
        _, token = await subscribed(service, sender)
        assert isinstance(await other.send(push(token)), Failed)
        await sender.close()
        await other.close()


@asynchronous
async def test_the_request_is_what_the_rfcs_ask_for() -> None:
    sender = provider()
    async with peer(in_turn(answer(201, "", "Location: https://x/m/1"))) as there:
        token = sender.check(subscription(f"{there.url}/push/1"))
        assert await sender.send(push(token)) == Delivered("https://x/m/1")
        asked = there.requests[0]
        assert (asked.method, asked.target) == ("POST", "/push/1")
        assert asked.headers["ttl"] == "3600"
        assert asked.headers["urgency"] == "high"
        assert asked.headers["topic"] == "kettle"
        assert asked.headers["content-encoding"] == "aes128gcm"
        token_and_key = asked.headers["authorization"].removeprefix("vapid t=").split(", k=")
        assert token_and_key[1] == sender.public_key
        claims = jwt.decode(
            token_and_key[0],
            read_point(decode(token_and_key[1])),
            algorithms=["ES256"],
            audience=there.url,
        )
        assert claims["sub"] == SUBJECT
        await sender.close()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(200), Delivered()),
        (answer(202), Delivered()),
        (answer(404), Dead("HTTP 404 the subscription has ended")),
        (answer(410), Dead("HTTP 410 the subscription has ended")),
        (answer(400, '{"errno": 1}'), Failed('HTTP 400 {"errno": 1}')),
        (answer(401, "no"), Failed("HTTP 401 the push service refuses our VAPID key: no")),
        (answer(403), Failed("HTTP 403 the push service refuses our VAPID key:")),
        (answer(413), Failed("HTTP 413 too long for this push service")),
        (answer(301, "", "Location: http://127.0.0.1:1/"), Failed("HTTP 301")),
        (answer(307, "", "Location: http://127.0.0.1:1/"), Failed("HTTP 307")),
        (answer(429, "", "Retry-After: 120"), Retry("HTTP 429", 120.0)),
        (answer(500, "oops"), Retry("HTTP 500 oops")),
        (answer(503, "", "Retry-After: 5"), Retry("HTTP 503", 5.0)),
    ],
)
@asynchronous
async def test_what_answers_mean(said: bytes, outcome: Outcome) -> None:
    sender = provider()
    async with peer(in_turn(said)) as there:
        token = sender.check(subscription(f"{there.url}/push"))
        assert await sender.send(push(token)) == outcome
        assert len(there.requests) == 1
        await sender.close()


@pytest.mark.parametrize(
    "said", [RESET, b"garbage\r\n\r\n", b"HTTP/1.1 200 X\r\nContent-Length: x\r\n\r\n"]
)
@asynchronous
async def test_no_answer_is_tried_again(said: bytes) -> None:
    sender = provider()
    async with peer(in_turn(said)) as there:
        token = sender.check(subscription(f"{there.url}/push"))
        outcome = await sender.send(push(token))
        assert isinstance(outcome, Retry)
        assert not outcome.pause
        await sender.close()


@asynchronous
async def test_a_service_that_asked_for_a_pause_is_left_alone_and_others_are_not() -> None:
    sender = provider()
    busy = answer(429, "", "Retry-After: 600")
    async with peer(in_turn(busy)) as one, peer(in_turn(answer(201))) as other:
        token = sender.check(subscription(f"{one.url}/push"))
        assert await sender.send(push(token)) == Retry("HTTP 429", 600.0)
        again = await sender.send(push(token))
        assert isinstance(again, Retry)
        assert again.after is not None
        assert 590 < again.after <= 600
        assert len(one.requests) == 1
        fine = sender.check(subscription(f"{other.url}/push"))
        assert isinstance(await sender.send(push(fine)), Delivered)
        await sender.close()


@asynchronous
async def test_a_service_that_hangs_is_given_up_and_then_left_alone() -> None:
    sender = provider()
    async with peer(in_turn(HANG)) as there:
        token = sender.check(subscription(f"{there.url}/push"))
        late = [asyncio.wait_for(sender.send(push(token)), 0.05) for _ in range(3)]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert [type(each) for each in outcomes] == [TimeoutError] * 3
        left = await sender.send(push(token))
        assert isinstance(left, Retry)
        assert "left alone" in left.error
        assert len(there.requests) == 3
        await sender.close()


@asynchronous
async def test_data_that_is_too_long_fails_and_nothing_is_sent() -> None:
    sender = provider()
    async with peer(in_turn(answer(201))) as there:
        token = sender.check(subscription(f"{there.url}/push"))
        outcome = await sender.send(push(token, data={"x": "y" * 4000}))
        assert isinstance(outcome, Failed)
        assert outcome.error.endswith("and there is room for 3993")
        assert there.requests == []
        await sender.close()


def test_a_token_has_one_spelling() -> None:
    sender = provider()
    token = subscription("HTTPS://Push.Example.com/x")
    checked = sender.check(token)
    assert sender.check(checked) == checked
    padded = json.loads(token)
    padded["keys"]["auth"] += "=="
    padded["keys"]["p256dh"] = padded["keys"]["p256dh"].replace("-", "+").replace("_", "/") + "="
    assert sender.check(json.dumps(padded, indent=2)) == checked
    assert json.loads(checked)["endpoint"] == "https://push.example.com/x"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"endpoint": "ftp://example.com/"}, "must begin with https"),
        ({"endpoint": 3}, "Expected `str`"),
        ({"keys": {"auth": "AAAA", "p256dh": "AAAA"}}, "keys.auth has 3 bytes"),
        ({"keys": {"auth": "A" * 22, "p256dh": "AAAA"}}, "keys.p256dh has 3 bytes"),
        ({"keys": {"auth": "A" * 22, "p256dh": "A" * 87}}, "not a point of P-256"),
        ({"keys": {"auth": "&", "p256dh": "A"}}, "not base64url"),
        ({"keys": {}}, "missing required field"),
    ],
)
def test_what_is_no_subscription(change: dict[str, Any], why: str) -> None:
    token = {**json.loads(subscription("https://push.example.com/x")), **change}
    with pytest.raises(ValueError, match=why):
        provider().check(json.dumps(token))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"endpoint": "https://example.com/"}'])
def test_what_is_no_object_at_all(text: str) -> None:
    with pytest.raises(ValueError, match="not a browser's subscription object"):
        provider().check(text)


def test_a_token_of_the_server_is_used_for_hours_and_one_for_each_service() -> None:
    now = [1_000_000.0]
    vapid = Vapid(make_private_key(), SUBJECT, lambda: now[0])
    first = vapid.authorization("https://a")
    now[0] += RENEW - 1
    assert vapid.authorization("https://a") == first
    assert vapid.authorization("https://b") != first
    now[0] += 2
    assert vapid.authorization("https://a") != first
    claims = jwt.decode(first[8:].split(", ")[0], options={"verify_signature": False})
    assert claims == {"aud": "https://a", "exp": 1_000_000 + int(LIFETIME), "sub": SUBJECT}


def test_a_topic_is_32_characters_of_base64url() -> None:
    assert topic("kettle") == "kettle"
    assert topic("a b") != topic("a c")
    assert len(topic("x" * 33)) == 32
    assert topic("Küche").isascii()


def test_a_subscription_that_names_a_private_host_is_refused_when_it_connects() -> None:
    """As with DNS rebinding: the name was fine, what it leads to is not."""

    @asynchronous
    async def run() -> None:
        sender = WebPush(
            settings(
                vapid_private_key=make_private_key(),
                vapid_subject=SUBJECT,
                allow_private_endpoints=False,
            )
        )
        async with peer(in_turn(answer(201))) as there:
            port = there.url.rpartition(":")[2]
            token = msgspec.json.encode(
                {
                    **json.loads(subscription("https://push.example.com/x")),
                    "endpoint": f"https://localhost:{port}/x",
                }
            ).decode()
            outcome = await sender.send(push(token))
            assert outcome == Failed("the address is not one of the public internet")
            assert there.connections == 0
            await sender.close()

    run()
