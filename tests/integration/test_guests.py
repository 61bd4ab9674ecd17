"""`hocket serve` without a key: clients name themselves, and so have nothing of anybody's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hocket import Audience, Notification
from hocket.serve.server import make_app
from hocket.settings import Settings
from tests.integration.test_sse import Listener
from tests.support import WebSocketClient, Wire, asynchronous, serving


async def heard(client: WebSocketClient) -> list[str]:
    """The events that came before the answer to a question that is asked now."""
    await client.say('420["join",{"room":"kitchen"}]')
    names = []
    while not (text := await client.text()).startswith("430"):
        names += [json.loads(text[2:])[0]] if text.startswith("42") else []
    return names


@asynchronous
async def test_a_guest_is_told_nobodys_notifications(tmp_path: Path) -> None:
    data = str(tmp_path)
    async with serving(make_app(Settings(data=data)), data=data) as site:
        job = await site.app.notify(Audience.users("ada"), Notification(title="hers"))
        early = await WebSocketClient.opened(site)
        await early.say('40{"name":"ada","after":0}')
        async with early, await Listener.opened(site, "/events?name=ada&after=0") as stream:
            assert await stream.event() == {"retry": "2000"}
            assert (await stream.event())["event"] == "welcome"
            later = Notification(title="later")
            await (await site.app.notify(Audience.users("ada"), later)).wait(timeout=10)
            await job.wait(timeout=10)
            assert await heard(early) == ["welcome", "members"]
            site.app.emit("end")
            assert (await stream.event())["event"] == "end"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "evillocalhost"]
)
@asynchronous
async def test_a_name_that_was_made_to_lead_here(host: str) -> None:
    """DNS rebinding: to the browser the page and this server are one origin."""
    target = "/socket.io/?EIO=4&transport=polling"
    async with serving(make_app(Settings())) as site, await Wire.to(site) as wire:
        wire.host = host
        answer = await wire.request("GET", target, f"Origin: http://{host}")
        assert answer.status == 403
        assert "come by 127.0.0.1 or localhost" in answer.json["message"]
        assert (await wire.request("GET", "/healthz")).status == 200
        refused = await wire.request("GET", "/events", f"Origin: http://{host}")
        assert refused.status == 403
    app = make_app(Settings(secret="s" * 32))
    async with serving(app, secret="s" * 32) as site, await Wire.to(site) as wire:
        wire.host = host
        assert (await wire.request("GET", target)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "a.localhost",
        "localhost.",
        "127.0.0.1",
        "127.8.0.1:9",
        "[::1]:9",
    ],
)
@asynchronous
async def test_names_of_this_machine(host: str) -> None:
    async with serving(make_app(Settings())) as site, await Wire.to(site) as wire:
        wire.host = host
        target = "/socket.io/?EIO=4&transport=polling"
        assert (await wire.request("GET", target, f"Origin: http://{host}")).status == 200
