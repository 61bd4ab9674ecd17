"""The REST API of several workers: it does not matter which one is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hocket import App, add_api
from hocket.store.base import RevokeKey
from tests.contract.stores import serving as serving_store
from tests.integration.rest import SECRET, Rest, refusal, token
from tests.integration.test_sse import Listener
from tests.support import asynchronous, serving_together

NOTE: dict[str, Any] = {"audience": {"users": ["ada"]}, "notification": {"title": "hello"}}


def make_app() -> App:
    app = App()
    add_api(app)
    return app


@asynccontextmanager
async def two(directory: Path) -> AsyncIterator[tuple[Rest, Rest]]:
    async with (
        serving_store(directory),
        serving_together(make_app, 2, data=str(directory), secret=SECRET) as sites,
    ):
        yield Rest(sites[0]), Rest(sites[1])


@asynchronous
async def test_any_worker_answers(tmp_path: Path) -> None:
    async with two(tmp_path) as (here, there):
        text = await here.key_text("*")
        sent = await here.bearer(text)("POST", "/v1/notifications", NOTE)
        assert sent.status == 202
        id = sent.json["id"]
        assert [each["id"] for each in (await there.user("ada").get("/v1/inbox"))["items"]] == [id]
        assert (await there.user("ada")("POST", f"/v1/inbox/{id}/read")).status == 204
        assert await here.user("ada").get("/v1/inbox/unread") == {"unread": 0}
        assert (await there.bearer(text).get(f"/v1/notifications/{id}"))["recipients"] == 1

        page = f"Origin: {here.site.url}", f"Cookie: hocket_token={token('ada')}"
        csrf = (await here.nobody("GET", "/v1/csrf", None, *page)).json["token"]
        cookies = f"{page[1]}; hocket_csrf={csrf}"
        change = (f"Origin: {there.site.url}", cookies, f"X-CSRF-Token: {csrf}")
        assert (await there.nobody("POST", "/v1/inbox/read", None, *change)).status == 204

        store = there.site.app.store
        assert store is not None
        assert await store.do(RevokeKey(text.split("_")[1]))
        answer = await here.bearer(text)("GET", "/v1/devices")
        assert refusal(answer) == (401, "key-invalid")


@asynchronous
async def test_one_idempotency_key_at_both(tmp_path: Path) -> None:
    async with two(tmp_path) as (here, there):
        text = await here.key_text("notify")
        asked = [
            api.bearer(text)("POST", "/v1/notifications", NOTE, "Idempotency-Key: once")
            for api in (here, there) * 10
        ]
        answers = await asyncio.gather(*asked)
        assert {answer.status for answer in answers} <= {202, 409}
        assert len({answer.json["id"] for answer in answers if answer.status == 202}) == 1
        assert await there.user("ada").get("/v1/inbox/unread") == {"unread": 1}


@asynchronous
async def test_events_come_wherever_one_listens(tmp_path: Path) -> None:
    async with two(tmp_path) as (here, there):
        bearer = f"Authorization: Bearer {token('ada')}"
        async with await Listener.opened(there.site, "/v1/events", bearer) as stream:
            await stream.event()
            first = await here.send("ada")
            event = await stream.event()
            assert json.loads(event["data"])[0]["id"] == first
        second = await there.send("ada")
        last = f"Last-Event-ID: {event['id']}"
        async with await Listener.opened(here.site, "/v1/events", bearer, last) as stream:
            await stream.event()
            assert json.loads((await stream.event())["data"])[0]["id"] == second
