"""Who comes in, over every transport; and who has to go."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest

from hocket import App, ConnectError, Handshake, Socket
from hocket.errors import TOKEN_EXPIRED
from hocket.identity.model import Identity
from hocket.identity.tokens import make_token
from tests.support import (
    Gone,
    PollingClient,
    Site,
    WebSocketClient,
    ask,
    asynchronous,
    eventually,
    serving,
    succeeding,
)

SECRET = "s" * 32
FOREIGN = "Origin: https://evil.example"


def token(user: str = "ada", lifetime: float = 60.0) -> str:
    """A token as any login may make it: to the millisecond."""
    return jwt.encode({"sub": user, "exp": time.time() + lifetime}, SECRET, algorithm="HS256")


def expired() -> str:
    return make_token(SECRET, "ada", time.time() - 100, 60)


def whoami() -> App:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.emit("you", socket.user)

    app.namespace("/bare")
    return app


async def connect(site: Site, packet: str = "40", *fields: str) -> str:
    """What a WebSocket client is told that connects with this packet."""
    async with await WebSocketClient.opened(site, "/socket.io/", *fields) as client:
        await client.say(packet)
        answer = await client.text()
        if answer.startswith('40{"sid":'):
            return await client.text()
        return answer


def with_token(token: Any, namespace: str = "") -> str:
    return f"40{namespace}" + json.dumps({"token": token})


def refusal(answer: str) -> tuple[str, str]:
    assert answer.startswith("44")
    told = json.loads(answer[answer.index("{") :])
    return told["message"], told["data"]["code"]


@asynchronous
async def test_three_ways_to_show_a_token() -> None:
    async with serving(whoami(), secret=SECRET) as site:
        good = token()
        for packet, *fields in (
            (with_token(good),),
            ("40", f"Authorization: Bearer {good}"),
            ("40", f"authorization: bearer  {good} "),
            ("40", f"Cookie: a=b; hocket_token={good}; c=d"),
            ("40", f"Cookie: hocket_token={good}", f"Origin: {site.url}"),
        ):
            assert await connect(site, packet, *fields) == '42["you","ada"]'


@asynchronous
async def test_who_stays_out() -> None:
    async with serving(whoami(), secret=SECRET) as site:
        none, bad = ("a token is needed", "token-required"), ("the token is not valid",)
        assert refusal(await connect(site)) == none
        assert refusal(await connect(site, "40", "Authorization: Basic YTpi")) == none
        assert refusal(await connect(site, "40", f"Cookie: other={token()}")) == none
        for wrong in (5, "", "x", [token()], token()[:-1]):
            assert refusal(await connect(site, with_token(wrong))) == (*bad, "token-required")
        key = with_token("hk_" + "0" * 16 + "_" + "a" * 43)
        assert refusal(await connect(site, key)) == ("an API key is no user", "user-required")
        answer = await connect(site, with_token(expired()))
        assert refusal(answer) == ("the token has expired", "token-expired")
        assert refusal(await connect(site, '40/bare,{"token":"x"}')) == (*bad, "token-required")
        assert (await connect(site, with_token(expired(), "/bare,"))).startswith("44/bare,")
        assert site.alarms.messages == []


@asynchronous
async def test_a_cookie_counts_only_from_a_page_of_ours() -> None:
    cookie = f"Cookie: hocket_token={token()}"
    async with serving(whoami(), secret=SECRET, origins="*") as site:
        ours, theirs = (cookie, f"Origin: {site.url}"), (cookie, FOREIGN)
        assert await connect(site, "40", *ours) == '42["you","ada"]'
        assert refusal(await connect(site, "40", *theirs))[1] == "token-required"
        assert await connect(site, with_token(token()), FOREIGN) == '42["you","ada"]'
        cross = await connect(site, "40", cookie, "Sec-Fetch-Site: cross-site")
        assert refusal(cross)[1] == "token-required"
    async with serving(whoami(), secret=SECRET, origins=["https://app.example"]) as site:
        listed = await connect(site, "40", cookie, "Origin: https://app.example")
        assert listed == '42["you","ada"]'


@asynchronous
async def test_one_rule_for_every_transport() -> None:
    async with serving(whoami(), secret=SECRET) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        assert refusal((await client.hear())[0]) == ("a token is needed", "token-required")
        await client.post(with_token(token()))
        assert (await client.hear())[-1] == '42["you","ada"]'

        refused = await ask(site, "GET", "/events")
        assert (refused.status, refused.json["data"]) == (403, {"code": "token-required"})
        refused = await ask(site, "GET", "/events", f"Authorization: Bearer {expired()}")
        assert (refused.status, refused.json["data"]) == (403, {"code": "token-expired"})


@asynchronous
async def test_without_a_key_nobody_is_asked() -> None:
    async with serving(whoami()) as site:
        assert await connect(site, with_token("x")) == '42["you",""]'
        assert site.worker.hub.guard is None
        assert site.worker.hub.expiry is None


@asynchronous
async def test_an_app_that_decides_itself() -> None:
    app = whoami()
    asked: list[Handshake] = []

    @app.authenticate
    async def who(handshake: Handshake) -> str | Identity | None:
        asked.append(handshake)
        await asyncio.sleep(0)
        name = handshake.auth.get("name")
        if name == "mallory":
            raise ConnectError("not you", {"code": "banned"})
        if name == "nobody":
            return ""
        if name in ("long", "half"):
            return "a" * 201 if name == "long" else "\udcff"  # as `surrogateescape` reads bytes
        return Identity(user="bob", expires=time.time() + 60) if name == "bob" else name

    with pytest.raises(ValueError, match="already"):
        app.authenticate(lambda handshake: None)
    async with serving(app) as site:
        assert await connect(site, '40{"name":"cleo"}') == '42["you","cleo"]'
        assert await connect(site, '40{"name":"bob"}') == '42["you","bob"]'
        assert await connect(site, '40{"name":"nobody"}') == '42["you",""]'
        assert refusal(await connect(site, '40{"name":"mallory"}')) == ("not you", "banned")
        assert refusal(await connect(site)) == ("you may not come in", "not-allowed")
        assert asked[0].address == "127.0.0.1"
        assert site.alarms.messages == []
        for name in ("long", "half"):
            refused = refusal(await connect(site, f'40{{"name":"{name}"}}'))
            assert refused == ("a user's name is text of at most 200 characters", "not-allowed")
        assert await connect(site, '40{"name":5}') == '44{"message":"internal error"}'
        assert len(site.alarms.messages) == 1
    async with serving(app, secret=SECRET) as site:
        assert await connect(site, with_token(token("dora"))) == '42["you","dora"]'
        assert await connect(site, '40{"name":"cleo"}') == '42["you","cleo"]'
        assert refusal(await connect(site))[1] == "token-required"


@asynchronous
async def test_middleware_knows_the_user() -> None:
    app = App()
    seen: list[str] = []
    app.middleware(lambda socket, auth: seen.append(socket.user))
    async with serving(app, secret=SECRET) as site:
        async with await WebSocketClient.opened(site) as client:
            await client.say(with_token(token()))
            assert (await client.text()).startswith('40{"sid":')
        await connect(site)
    assert seen == ["ada"]


class Ended:
    """An app that writes down why its clients left."""

    def __init__(self) -> None:
        self.app = whoami()
        self.reasons: list[str] = []
        self.app.on("disconnect")(lambda socket, reason: self.reasons.append(reason))


@asynchronous
async def test_a_token_expires_on_a_live_connection() -> None:
    ended = Ended()
    async with serving(ended.app, secret=SECRET) as site, AsyncExitStack() as stack:
        stays = await stack.enter_async_context(await WebSocketClient.opened(site))
        await stays.say(with_token(token("bob")))
        client = await stack.enter_async_context(await WebSocketClient.opened(site))
        await client.say(with_token(token(lifetime=0.6)))
        assert (await client.text()).startswith('40{"sid":')
        assert await client.text() == '42["you","ada"]'
        assert await client.text() == '42["token-expired",{"code":"token-expired"}]'
        with pytest.raises(Gone) as gone:
            await client.hear()
        assert gone.value.args[0] == (4401).to_bytes(2, "big") + b"token-expired"
        await eventually(lambda: ended.reasons == [TOKEN_EXPIRED])
        assert site.sessions == 1
        expiry = site.worker.hub.expiry
        assert expiry is not None
        assert len(expiry) == 1


@asynchronous
async def test_it_expires_over_polling_and_events_too() -> None:
    ended = Ended()
    async with serving(ended.app, secret=SECRET) as site:
        client = await PollingClient.opened(site)
        await client.post(with_token(token(lifetime=0.6)))
        heard: list[str] = []
        while "1" not in heard:
            heard += await client.hear()
        assert heard[1:] == ['42["you","ada"]', '42["token-expired",{"code":"token-expired"}]', "1"]
        absent = await PollingClient.opened(site)
        await absent.post(with_token(token(lifetime=0.6)))
        await absent.poll()
        await eventually(lambda: len(ended.reasons) == 2)
        told = (await absent.poll()).body.decode()
        assert told.endswith('42["token-expired",{"code":"token-expired"}]')
        assert (await absent.poll()).body == b"1"

        bearer = f"Authorization: Bearer {token(lifetime=0.6)}"
        answer = await ask(site, "GET", "/events", bearer)
        assert answer.body.endswith(b'event: token-expired\ndata: [{"code":"token-expired"}]\n\n')
        assert ended.reasons == [TOKEN_EXPIRED] * 3


@asynchronous
async def test_it_expires_in_the_process_that_takes_over() -> None:
    ended = Ended()
    async with (
        serving(whoami(), secret=SECRET) as site,
        await WebSocketClient.opened(site) as client,
    ):
        await client.say(with_token(token(lifetime=1.5)))
        assert (await client.text()).startswith('40{"sid":')
        assert await client.text() == '42["you","ada"]'
        async with succeeding(site, ended.app, secret=SECRET) as (new, _):
            assert await client.text() == '42["token-expired",{"code":"token-expired"}]'
            await eventually(lambda: ended.reasons == [TOKEN_EXPIRED])
            assert new.hub.expiry is not None
