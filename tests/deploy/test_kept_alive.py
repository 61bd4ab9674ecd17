"""Connections between each proxy and Hocket are kept, and users share them without a mix-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.certificates import Certificate
from tests.deploy.fronts import PROXIED, running
from tests.deploy.secure import Poller, SecureWebSocket, SecureWire, arguments
from tests.deploy.tap import Tap, tapped
from tests.integration.programs import program
from tests.support import asynchronous

USERS = 8
ROUNDS = 5


class Site(NamedTuple):
    url: str
    tap: Tap


@pytest.fixture
def site(name: str, certificate: Certificate, tmp_path: Path) -> Iterator[Site]:
    settings = {"HOCKET_PORT": "0", "HOCKET_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        program(*PROXIED, env=settings) as app,
        tapped(app.url().removeprefix("http://")) as tap,
        running(name, tap.address, certificate, tmp_path) as front,
    ):
        yield Site(front.url, tap)


@asynchronous
async def test_polling_users_share_connections(site: Site) -> None:
    async with AsyncExitStack() as stack:
        users = []
        for number in range(USERS):
            wire = await stack.enter_async_context(await SecureWire.to(site.url))
            users.append(await Poller.joined(wire, f"user-{number}"))
        for number, user in enumerate(users):
            assert (await user.event())[0] == "seen", number
        for at in range(ROUNDS):
            for user in users:
                await user.say("42" + str(at) + json.dumps(["echo", at]))
            for number, user in enumerate(users):
                assert await user.event() == [[f"user-{number}", at]]
    carried = site.tap.connections()
    assert sum(map(len, carried)) >= USERS * (3 + 2 * ROUNDS)
    assert len(carried) < USERS, "each client has a connection of its own"
    sessions = [
        {target.partition("sid=")[2] for target in targets if "sid=" in target}
        for targets in carried
    ]
    assert max(map(len, sessions)) > 1, "nobody shared"


@asynchronous
async def test_an_upgrade_comes_second_on_a_kept_connection(name: str, site: Site) -> None:
    async with await SecureWebSocket.to(site.url) as client:
        for _ in range(3):
            assert (await client.request("GET", "/who")).status == 200
        answer = await client.upgrade("/socket.io/?EIO=4&transport=websocket")
        assert answer.status == 101
        assert (await client.text())[:1] == "0"
        await client.say('40{"user":"ada"}')
        assert (await client.text()).startswith('40{"sid":')
        assert arguments(await client.text())[0] == "seen"
        await client.say('421["echo",1]')
        assert arguments(await client.text()) == [["ada", 1]]
        upgraded = next(each for each in site.tap.connections() if "websocket" in each[-1])
        before = [] if name == "caddy" else ["/who"] * 3  # Caddy opens one for each WebSocket
        assert upgraded[:-1] == before


@asynchronous
async def test_a_refused_upgrade_does_not_spoil_a_connection(site: Site) -> None:
    for _ in range(5):
        async with await SecureWebSocket.to(site.url) as client:
            answer = await client.upgrade("/socket.io/?EIO=3&transport=websocket")
            assert (answer.status, answer.json["message"]) == (400, "Unsupported protocol version")
        async with await SecureWire.to(site.url) as wire:
            assert (await wire.request("GET", "/who")).status == 200
