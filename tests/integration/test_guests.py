"""`hocket serve` without a key: clients name themselves, and so have nothing of anybody's own."""

from __future__ import annotations

import json
from pathlib import Path

from hocket import Audience, Notification
from hocket.serve.server import make_app
from hocket.settings import Settings
from tests.integration.test_sse import Listener
from tests.support import WebSocketClient, asynchronous, serving


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
