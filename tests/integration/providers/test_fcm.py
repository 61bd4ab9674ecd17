"""FCM against a token endpoint that verifies assertions, and every answer of its error table."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Outcome, Retry
from hocket.providers.fcm import Fcm, body_of
from hocket.providers.google import AccessToken, NoTokenError, read_account
from hocket.providers.outbound import Client
from tests.peers import (
    DRIP,
    ENDLESS,
    HANG,
    RESET,
    Peer,
    Request,
    answer,
    in_turn,
    peer,
    push,
    settings,
)
from tests.support import asynchronous

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
EMAIL = "push@example.iam.gserviceaccount.com"


class Google:
    """The token endpoint and FCM, on one port: an assertion that is not right buys nothing, and a
    message without the newest token is refused.
    """

    def __init__(self, *answers: bytes) -> None:
        self.says = in_turn(*(answers or (answer(200, {"name": "projects/p/messages/1"}),)))
        self.bought = 0
        self.messages: list[Request] = []
        self.there: Peer | None = None
        self.valid = ""
        self.instead_of_token: bytes | None = None

    def __call__(self, request: Request) -> bytes | None:
        if request.target == "/token":
            return self.instead_of_token or self.sell(request)
        assert request.target == "/v1/projects/my-project/messages:send"
        self.messages.append(request)
        if request.headers["authorization"] != f"Bearer {self.valid}":
            return answer(401, {"error": {"status": "UNAUTHENTICATED"}})
        return self.says(request)

    def sell(self, request: Request) -> bytes:
        assert self.there is not None
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            form["assertion"],
            KEY.public_key(),
            algorithms=["RS256"],
            audience=f"{self.there.url}/token",
            issuer=EMAIL,
            options={"require": ["exp", "iat", "iss", "aud"]},
        )
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        assert claims["exp"] - claims["iat"] <= 3600
        assert jwt.get_unverified_header(form["assertion"])["kid"] == "kid-1"
        self.bought += 1
        self.valid = f"ya29.{self.bought}"
        return answer(200, {"access_token": self.valid, "expires_in": 3599, "token_type": "Bearer"})


def account(tmp_path: Path, url: str, **changes: Any) -> str:
    file = tmp_path / "account.json"
    content = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "kid-1",
        "private_key": PEM,
        "client_email": EMAIL,
        "token_uri": f"{url}/token",
    }
    file.write_text(json.dumps({**content, **changes}))
    return str(file)


def fcm_error(status: int, code: str, *more: dict[str, Any], fields: str = "") -> bytes:
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details = [*([{"@type": kind, "errorCode": code}] if code else []), *more]
    return answer(status, {"error": {"code": status, "details": details}}, *filter(None, [fields]))


BAD_FIELD = {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    "fieldViolations": [{"field": "message.data"}],
}


async def outcomes(tmp_path: Path, google: Google, *pushes: Any) -> list[Any]:
    """Of pushes, one after the other."""
    async with peer(google) as there:
        google.there = there
        sender = Fcm(settings(fcm_credentials=account(tmp_path, there.url), fcm_url=there.url))
        try:
            return [await sender.send(each) for each in pushes or [push("device-1")]]
        finally:
            await sender.close()


@asynchronous
async def test_a_message_is_what_the_api_takes(tmp_path: Path) -> None:
    google, before = Google(), int(time.time())
    assert await outcomes(tmp_path, google) == [Delivered("projects/p/messages/1")]
    apns = google.messages[0].json["message"]["apns"]["headers"]
    assert before + 3600 <= int(apns.pop("apns-expiration")) <= time.time() + 3600
    assert apns == {"apns-priority": "10", "apns-collapse-id": "kettle"}
    assert google.messages[0].json == {
        "message": {
            "token": "device-1",
            "notification": {"title": "Hello", "body": "The kettle boils"},
            "data": {
                "id": "n1",
                "url": "https://example.com/kitchen",
                "icon": "https://example.com/icon.png",
                "room": "kitchen",
                "count": "3",
            },
            "android": {"priority": "HIGH", "ttl": "3600s", "notification": {"tag": "kettle"}},
            "apns": google.messages[0].json["message"]["apns"],
            "webpush": {"headers": {"TTL": "3600", "Urgency": "high"}},
        }
    }


@pytest.mark.parametrize(
    ("ttl", "urgency", "expiration", "priority"),
    [(60, "normal", "1060", "10"), (60, "low", "1060", "5"), (0, "very-low", "0", "1")],
)
def test_iphones_are_told_how_long_and_how_urgent(
    ttl: int, urgency: str, expiration: str, priority: str
) -> None:
    message = json.loads(body_of(push(ttl=ttl, urgency=urgency), 1000.5))["message"]
    assert message["apns"]["headers"] == {
        "apns-expiration": expiration,
        "apns-priority": priority,
        "apns-collapse-id": "kettle",
    }


@asynchronous
async def test_one_token_is_bought_however_many_push(tmp_path: Path) -> None:
    google = Google()
    async with peer(google) as there:
        google.there = there
        sender = Fcm(settings(fcm_credentials=account(tmp_path, there.url), fcm_url=there.url))
        pushes = [sender.send(push(f"device-{n}")) for n in range(50)]
        assert all(isinstance(each, Delivered) for each in await asyncio.gather(*pushes))
        assert google.bought == 1
        await sender.close()


@asynchronous
async def test_a_token_is_renewed_before_it_ends_and_kept_when_that_fails(tmp_path: Path) -> None:
    google, now = Google(), [1_700_000_000.0]
    async with peer(google) as there:
        google.there = there
        client = Client(5, public_only=False)
        access = AccessToken(read_account(account(tmp_path, there.url)), client, lambda: now[0])
        google.sell = lambda request: answer(  # type: ignore[method-assign]
            200, {"access_token": f"t{len(there.requests)}", "expires_in": 3599}
        )
        assert await access.get() == "t1"
        now[0] += 3200
        assert await access.get() == "t1"
        now[0] += 120  # 279 seconds are left
        google.instead_of_token = answer(500)
        assert await access.get() == "t1"
        google.instead_of_token = None
        assert await access.get() == "t3"
        google.instead_of_token = answer(503, "", "Retry-After: 9")
        now[0] += 4000
        with pytest.raises(NoTokenError) as caught:
            await access.get()
        assert caught.value.after == 9
        await client.close()


@asynchronous
async def test_a_token_that_is_revoked_is_replaced_once(tmp_path: Path) -> None:
    google = Google()
    async with peer(google) as there:
        google.there = there
        sender = Fcm(settings(fcm_credentials=account(tmp_path, there.url), fcm_url=there.url))
        assert isinstance(await sender.send(push()), Delivered)
        google.valid = "another"  # whatever was sold before
        assert isinstance(await sender.send(push()), Delivered)
        assert google.bought == 2
        google.sell = lambda request: answer(  # type: ignore[method-assign]
            200, {"access_token": "wrong", "expires_in": 3599}
        )
        google.valid = "another"
        refused = await sender.send(push())
        assert refused == Retry("HTTP 401 FCM refuses our access token", 10.0, pause=True)
        assert len(google.messages) == 1 + 2 + 2
        await sender.close()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (fcm_error(404, "UNREGISTERED"), Dead("HTTP 404 UNREGISTERED")),
        (fcm_error(400, "INVALID_ARGUMENT"), Dead("HTTP 400 INVALID_ARGUMENT")),
        (fcm_error(400, "INVALID_ARGUMENT", BAD_FIELD), Failed("HTTP 400 INVALID_ARGUMENT")),
        (fcm_error(403, "SENDER_ID_MISMATCH"), Failed("HTTP 403 SENDER_ID_MISMATCH")),
        (fcm_error(401, "THIRD_PARTY_AUTH_ERROR"), Failed("HTTP 401 THIRD_PARTY_AUTH_ERROR")),
        (fcm_error(429, "QUOTA_EXCEEDED"), Retry("HTTP 429 QUOTA_EXCEEDED", 60.0, pause=True)),
        (
            fcm_error(429, "QUOTA_EXCEEDED", fields="Retry-After: 90"),
            Retry("HTTP 429 QUOTA_EXCEEDED", 90.0, pause=True),
        ),
        (fcm_error(503, "UNAVAILABLE"), Retry("HTTP 503 UNAVAILABLE")),
        (
            fcm_error(503, "UNAVAILABLE", fields="Retry-After: 3"),
            Retry("HTTP 503 UNAVAILABLE", 3.0),
        ),
        (fcm_error(500, "INTERNAL"), Retry("HTTP 500 INTERNAL")),
        (answer(404, "Not Found"), Failed("HTTP 404 Not Found")),  # a wrong project, not a device
        (answer(404, {"error": {"details": "x"}}), Failed('HTTP 404 {"error": {"details": "x"}}')),
        (answer(404, {"error": {"details": [1]}}), Failed('HTTP 404 {"error": {"details": [1]}}')),
        (answer(400, "[]"), Failed("HTTP 400 []")),
        (answer(200, "garbage"), Delivered("")),
        (answer(302, "", "Location: http://127.0.0.1:1/"), Failed("HTTP 302")),
    ],
)
@asynchronous
async def test_what_answers_mean(tmp_path: Path, said: bytes, outcome: Outcome) -> None:
    google = Google(said)
    assert await outcomes(tmp_path, google) == [outcome]
    assert len(google.messages) == 1


@pytest.mark.parametrize("said", [RESET, b"garbage\r\n\r\n"])
@asynchronous
async def test_no_answer_is_tried_again(tmp_path: Path, said: bytes) -> None:
    (outcome,) = await outcomes(tmp_path, Google(said))
    assert isinstance(outcome, Retry)
    assert outcome.after is None
    assert not outcome.pause


@pytest.mark.parametrize("said", [HANG, DRIP])
@asynchronous
async def test_who_gives_a_push_up_can_send_the_next_one(tmp_path: Path, said: bytes) -> None:
    google = Google(said, answer(200, {"name": "projects/p/messages/2"}))
    async with peer(google) as there:
        google.there = there
        sender = Fcm(settings(fcm_credentials=account(tmp_path, there.url), fcm_url=there.url))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await sender.send(push("device-1"))
        assert await sender.send(push("device-1")) == Delivered("projects/p/messages/2")
        await sender.close()


@asynchronous
async def test_a_token_that_does_not_come_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.providers.google.PATIENCE", 0.05)
    google = Google()
    google.instead_of_token = HANG
    (outcome,) = await outcomes(tmp_path, google)
    assert isinstance(outcome, Retry)
    assert outcome.error == "no access token from Google within 0.05 s"
    assert outcome.pause


@asynchronous
async def test_an_answer_without_an_end_is_read_up_to_a_bound(tmp_path: Path) -> None:
    (outcome,) = await outcomes(tmp_path, Google(ENDLESS))
    assert isinstance(outcome, Retry)
    assert outcome.error == "HTTP 500 " + "x" * 200


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(400, '{"error": "invalid_grant"}'), 'HTTP 400 {"error": "invalid_grant"}'),
        (answer(200, "{}"), "its answer is not one"),
        (RESET, "from Google: "),
    ],
)
@asynchronous
async def test_without_a_token_nobody_is_tried(tmp_path: Path, said: bytes, why: str) -> None:
    google = Google()
    google.instead_of_token = said
    (outcome,) = await outcomes(tmp_path, google)
    assert isinstance(outcome, Retry)
    assert why in outcome.error
    assert outcome.pause
    assert outcome.after == 10.0
    assert google.messages == []


def test_a_message_is_cut_to_what_fcm_takes() -> None:
    assert len(body_of(push("t" * 163, body="ü" * 4000), 0.0)) <= 4096 + 163
    with pytest.raises(ValueError, match="there is room for"):
        body_of(push(data={"x": "y" * 5000}), 0.0)


@pytest.mark.parametrize("name", ["from", "message_type", "google.c", "gcm.n"])
def test_names_that_fcm_keeps_for_itself_fail_clearly(name: str) -> None:
    with pytest.raises(ValueError, match=f"FCM keeps the name '{name}' for itself"):
        body_of(push(data={name: "x"}), 0.0)


def test_what_is_a_token(tmp_path: Path) -> None:
    sender = Fcm(settings(fcm_credentials=account(tmp_path, "http://127.0.0.1:1")))
    assert sender.check(" abc:DEF_-\n") == "abc:DEF_-"
    for wrong in ("", "a b", "a\nb", "ü", "x" * 4097):
        with pytest.raises(ValueError, match="not a registration token"):
            sender.check(wrong)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"private_key": "x"}, "is not the JSON key of a service account"),
        ({"project_id": 3}, "is not the JSON key of a service account"),
    ],
)
def test_a_wrong_key_file_is_said_so(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_account(account(tmp_path, "http://x", **change))
    with pytest.raises(UsageError, match="HOCKET_FCM_CREDENTIALS: "):
        read_account(str(tmp_path / "nothing"))
