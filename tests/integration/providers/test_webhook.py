"""Webhooks: signed as the standard's own vector has it, and receivers that misbehave."""

from __future__ import annotations

import asyncio
from base64 import b64decode

import pytest

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Outcome, Retry
from hocket.providers.webhook import Webhook, read_secrets, sign
from tests.peers import ENDLESS, HANG, RESET, answer, in_turn, peer, push, settings
from tests.support import asynchronous

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def provider(secret: str = SECRET) -> Webhook:
    return Webhook(settings(webhook_secret=secret), lambda: 1_614_265_330.7)


def test_the_vector_of_the_standard() -> None:
    """From the reference libraries of Standard Webhooks."""
    keys = read_secrets(SECRET)
    id, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    assert sign(keys, id, 1_614_265_330, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@asynchronous
async def test_a_receiver_can_verify_what_we_send() -> None:
    sender = provider(f"{OTHER} {SECRET}")
    async with peer(in_turn(answer(204))) as there:
        token = sender.check(f"{there.url}/hook?x=1")
        assert await sender.send(push(token)) == Delivered()
        assert await sender.send(push(token)) == Delivered()
        asked, again = there.requests
        assert asked.target == "/hook?x=1"
        assert asked.json == {
            "type": "notification",
            "user": "ada",
            "data": {
                "id": "n1",
                "title": "Hello",
                "body": "The kettle boils",
                "data": {"room": "kitchen", "count": 3},
                "url": "https://example.com/kitchen",
                "icon": "https://example.com/icon.png",
                "tag": "kettle",
            },
        }
        headers = asked.headers
        assert headers["webhook-timestamp"] == "1614265330"
        signatures = headers["webhook-signature"].split(" ")
        for secret in (OTHER, SECRET):
            keys = (b64decode(secret.removeprefix("whsec_")),)
            assert sign(keys, headers["webhook-id"], 1_614_265_330, asked.body) in signatures
        assert again.headers["webhook-id"] == headers["webhook-id"]
        await sender.close()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(200), Delivered()),
        (answer(299), Delivered()),
        (answer(410), Dead("HTTP 410 the receiver wants no more")),
        (answer(301, "", "Location: http://127.0.0.1:1/"), Failed("HTTP 301")),
        (answer(308, "", "Location: http://127.0.0.1:1/"), Failed("HTTP 308")),
        (answer(400, "\x1b[31mno\r\n"), Failed("HTTP 400 [31mno")),
        (answer(404), Failed("HTTP 404")),
        (answer(408), Retry("HTTP 408")),
        (answer(429, "", "Retry-After: 5"), Retry("HTTP 429", 5.0)),
        (answer(429, "", "Retry-After: soon"), Retry("HTTP 429")),
        (answer(500), Retry("HTTP 500")),
        (answer(502, "", "Retry-After: 99999999999"), Retry("HTTP 502", 86_400.0)),
        (answer(503, "", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"), Retry("HTTP 503", 0.0)),
    ],
)
@asynchronous
async def test_what_answers_mean(said: bytes, outcome: Outcome) -> None:
    sender = provider()
    async with peer(in_turn(said)) as there:
        assert await sender.send(push(sender.check(there.url))) == outcome
        assert len(there.requests) == 1
        await sender.close()


@asynchronous
async def test_a_429_without_a_time_is_a_pause_too() -> None:
    sender = provider()
    async with peer(in_turn(answer(429))) as there:
        token = sender.check(there.url)
        assert await sender.send(push(token)) == Retry("HTTP 429")
        left = await sender.send(push(token))
        assert isinstance(left, Retry)
        assert "is left alone for now" in left.error
        assert len(there.requests) == 1
        await sender.close()


@asynchronous
async def test_a_receiver_that_does_not_answer_does_not_slow_the_others() -> None:
    sender = provider()
    async with peer(in_turn(HANG)) as hangs, peer(in_turn(answer(200))) as fine:
        stuck = [asyncio.create_task(sender.send(push(f"{hangs.url}/{n}"))) for n in range(20)]
        good = await asyncio.gather(*[sender.send(push(f"{fine.url}/{n}")) for n in range(200)])
        assert good == [Delivered()] * 200
        assert not any(task.done() for task in stuck)
        for task in stuck:  # their time is over
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        left = await sender.send(push(f"{hangs.url}/20"))
        assert isinstance(left, Retry)
        assert "is left alone for now" in left.error
        await sender.close()


@pytest.mark.parametrize("said", [RESET, b"\x00\x01\x02\r\n\r\n"])
@asynchronous
async def test_one_that_breaks_off_is_left_alone_after_the_third_time(said: bytes) -> None:
    sender = provider()
    async with peer(in_turn(said)) as there:
        for _ in range(3):
            assert isinstance(await sender.send(push(there.url + "/")), Retry)
        left = await sender.send(push(there.url + "/"))
        assert isinstance(left, Retry)
        assert "is left alone for now" in left.error
        assert left.after is not None
        assert 0 < left.after <= 2
        assert len(there.requests) == 3
        await sender.close()


@asynchronous
async def test_an_answer_without_an_end_is_read_up_to_a_bound() -> None:
    sender = provider()
    async with peer(in_turn(ENDLESS)) as there:
        assert await sender.send(push(there.url + "/")) == Retry("HTTP 500 " + "x" * 200)
        await sender.close()


@asynchronous
async def test_a_private_address_is_refused_when_it_connects() -> None:
    sender = Webhook(settings(webhook_secret=SECRET, allow_private_endpoints=False))
    async with peer(in_turn(answer(200))) as there:
        port = there.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
            outcome = await sender.send(push(f"http://{host}:{port}/"))
            assert isinstance(outcome, Failed), host
        assert there.connections == 0
        await sender.close()


@asynchronous
async def test_data_that_is_too_long_fails() -> None:
    outcome = await provider().send(push("http://127.0.0.1:1/", data={"x": "y" * 30_000}))
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith("and there is room for 20000")


@pytest.mark.parametrize(
    "secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_AAAA", "whsec_!", f"{SECRET} x"]
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(UsageError, match="HOCKET_WEBHOOK_SECRET is whsec_ and 24 to 64 bytes"):
        read_secrets(secret)
