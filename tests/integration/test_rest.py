"""The REST API: what it does for whom."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from hocket import App, Handshake, Socket, add_api
from hocket.serve.api import devices
from hocket.store.base import Accepted, Conflict, StoreError
from tests.integration.rest import refusal, rest, token
from tests.integration.test_sse import Listener
from tests.support import WebSocketClient, ask, asynchronous, eventually, serving

SUBSCRIPTION = {"endpoint": "https://push.example/1", "keys": {"auth": "x", "p256dh": "y"}}


@asynchronous
async def test_devices(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, bob, server = api.user("ada"), api.user("bob"), await api.key("devices")
        new = await ada("POST", "/v1/devices", {"provider": "webpush", "token": SUBSCRIPTION})
        assert (new.status, list(new.json)) == (201, ["id"])
        assert new["cache-control"] == "no-store"
        reordered = dict(reversed(SUBSCRIPTION.items()))
        again = await ada("POST", "/v1/devices", {"provider": "webpush", "token": reordered})
        assert (again.status, again.json) == (200, new.json)
        body = {"user": "bob", "provider": "fcm", "token": "f" * 100}
        his = (await server("POST", "/v1/devices", body)).json["id"]

        page = await ada.get("/v1/devices")
        assert [each["id"] for each in page["items"]] == [new.json["id"]]
        assert set(page["items"][0]) == {"id", "user", "provider", "registered"}
        assert abs(page["items"][0]["registered"] - time.time()) < 60
        assert [each["id"] for each in (await bob.get("/v1/devices"))["items"]] == [his]
        everybody = await server.get("/v1/devices?limit=1")
        rest_of_them = await server.get(f"/v1/devices?limit=1&after={everybody['next']}")
        found = [each["user"] for each in everybody["items"] + rest_of_them["items"]]
        assert sorted(found) == ["ada", "bob"]
        assert [each["id"] for each in (await server.get("/v1/devices?user=bob"))["items"]] == [his]

        assert refusal(await ada("DELETE", f"/v1/devices/{his}")) == (404, "not-found")
        assert (await bob("DELETE", f"/v1/devices/{his}")).status == 204
        assert (await server("DELETE", f"/v1/devices/{new.json['id']}")).status == 204
        assert refusal(await bob("DELETE", f"/v1/devices/{his}")) == (404, "not-found")
        assert (await ada.get("/v1/devices")) == {"items": [], "next": None}


@asynchronous
async def test_a_device_goes_to_who_has_it_now(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        body = {"provider": "apns", "token": "ab" * 32}
        ada, bob = api.user("ada"), api.user("bob")
        first, second = (
            await ada("POST", "/v1/devices", body),
            await bob("POST", "/v1/devices", body),
        )
        assert (first.status, second.status) == (201, 200)
        assert first.json == second.json
        assert (await ada.get("/v1/devices"))["items"] == []


@asynchronous
async def test_a_user_has_so_many_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MAX_DEVICES", 2)
    async with rest(tmp_path) as api:
        ada, server = api.user("ada"), await api.key("devices")
        for token, status in (("a", 201), ("b", 201), ("a", 200)):
            answer = await ada("POST", "/v1/devices", {"provider": "fcm", "token": token})
            assert answer.status == status
        body = {"provider": "fcm", "token": "c"}
        full = (409, "too-many-devices")
        assert refusal(await ada("POST", "/v1/devices", body)) == full
        assert refusal(await server("POST", "/v1/devices", {**body, "user": "ada"})) == full
        assert (await api.user("bob")("POST", "/v1/devices", body)).status == 201


@asynchronous
async def test_no_user_takes_an_address_from_another(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, bob, server = api.user("ada"), api.user("bob"), await api.key("devices")
        for provider, address in (("email", "bob@example.com"), ("webhook", "https://b.example/")):
            body = {"provider": provider, "token": address}
            his = await bob("POST", "/v1/devices", body)
            hers = await ada("POST", "/v1/devices", body)
            assert (his.status, hers.status) == (201, 201)
            again = await bob("POST", "/v1/devices", body)
            assert (again.status, again.json) == (200, his.json)
            assert (await ada("DELETE", f"/v1/devices/{hers.json['id']}")).status == 204
            given = await server("POST", "/v1/devices", {**body, "user": "bob"})
            assert (given.status, given.json) == (200, his.json)
        assert len((await bob.get("/v1/devices"))["items"]) == 2


@asynchronous
async def test_topics(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, server = api.user("ada"), await api.key("topics")
        for topic in ("news", "caf%C3%A9", "a%20b"):
            assert (await server("PUT", f"/v1/topics/{topic}/users/ada")).status == 204
            assert (await server("PUT", f"/v1/topics/{topic}/users/ada")).status == 204
        assert (await server("DELETE", "/v1/topics/a%20b/users/ada")).status == 204
        assert await ada.get("/v1/topics") == {"topics": ["café", "news"]}
        assert await server.get("/v1/topics?user=ada") == {"topics": ["café", "news"]}
        assert await server.get("/v1/topics?user=bob") == {"topics": []}
        for escaped, name in (("a%2Fb", "a/b"), ("a%2fb", "a/b"), ("%252F", "%2F")):
            assert (await server("PUT", f"/v1/topics/{escaped}/users/{escaped}")).status == 204
            assert await server.get(f"/v1/topics?user={escaped}") == {"topics": [name]}
        answer = await server("PUT", f"/v1/topics/{'t' * 201}/users/ada")
        assert refusal(answer) == (422, "invalid")


@asynchronous
async def test_from_a_notification_to_the_inbox(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, reader = api.user("ada"), await api.key("read")
        ids = [await api.send("ada", "bob", title=f"n{n}", data={"n": n}) for n in range(3)]
        await api.send("bob")
        status = await reader.get(f"/v1/notifications/{ids[0]}")
        assert (status["id"], status["recipients"]) == (ids[0], 2)
        assert status["state"] in ("running", "done")
        assert set(status["deliveries"]) >= {"delivered", "failed", "expired", "pending"}

        page = await ada.get("/v1/inbox")
        assert [(each["id"], each["title"], each["data"]) for each in page["items"]] == [
            (id, f"n{n}", {"n": n}) for n, id in enumerate(ids)
        ]
        assert page["next"] is None
        first = await ada.get("/v1/inbox?limit=2")
        then = await ada.get(f"/v1/inbox?limit=2&after={first['next']}")
        assert first["items"] + then["items"] == page["items"]
        assert (await ada.get("/v1/inbox?limit=3"))["next"] is None, "this is the last"
        assert (await ada.get("/v1/inbox?before=0&limit=3"))["next"] is None
        newest = await ada.get("/v1/inbox?before=0&limit=1")
        assert [each["id"] for each in newest["items"]] == ids[2:]
        assert await ada.get("/v1/inbox/unread") == {"unread": 3}

        assert (await ada("POST", f"/v1/inbox/{ids[0]}/read")).status == 204
        assert (await ada("POST", f"/v1/inbox/{ids[1]}/archive")).status == 204
        assert await ada.get("/v1/inbox/unread") == {"unread": 1}
        shown = (await ada.get("/v1/inbox"))["items"]
        assert [(each["id"], each["read"]) for each in shown] == [(ids[0], True), (ids[2], False)]
        put_away = (await ada.get("/v1/inbox?archived=true"))["items"]
        assert [(each["id"], each["archived"]) for each in put_away] == [(ids[1], True)]
        assert (await ada("POST", f"/v1/inbox/{ids[1]}/unarchive")).status == 204
        assert (await ada("POST", f"/v1/inbox/{ids[0]}/unread")).status == 204
        assert await ada.get("/v1/inbox/unread") == {"unread": 3}
        assert (await ada("POST", "/v1/inbox/read", {"ids": ids[:1]})).status == 204
        assert await ada.get("/v1/inbox/unread") == {"unread": 2}
        assert (await ada("POST", "/v1/inbox/read")).status == 204
        assert await ada.get("/v1/inbox/unread") == {"unread": 0}
        assert await api.user("bob").get("/v1/inbox/unread") == {"unread": 4}


@asynchronous
async def test_an_inbox_of_long_items_comes_in_pages(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada = api.user("ada")
        sent = [await api.send("ada", data={"text": "x" * 64_000, "n": n}) for n in range(270)]
        for way, ids in (("after=0", sent), ("before=0", sent[::-1])):
            found: list[str] = []
            where = way
            for _ in range(3):  # of 8 MB, and the rest
                page = await ada.get(f"/v1/inbox?{where}&limit=1000")
                found += [item["id"] for item in page["items"]]
                where = f"{way[:-2]}={page['next']}"
            assert page["next"] is None
            assert found == ids


@asynchronous
async def test_audiences(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        topics, server = await api.key("topics"), await api.key("notify", "read")
        for user in ("ada", "bob"):
            await topics("PUT", f"/v1/topics/news/users/{user}")
        await topics("PUT", "/v1/topics/sport/users/cleo")
        note = {"title": "x"}
        for audience, count in (
            ({"topic": "news"}, 2),
            ({"topics": ["news", "sport"]}, 3),
            ({"users": ["ada", "dora"]}, 2),
            ({"users": ["ada", "ada"], "topic": "news"}, 2),
            ({"all": True}, 3),
        ):
            body = {"audience": audience, "notification": note}
            id = (await server("POST", "/v1/notifications", body)).json["id"]
            assert (await server.get(f"/v1/notifications/{id}"))["recipients"] == count
        nobody: list[Any] = [
            {},
            {"users": []},
            {"all": False},
            {"all": 1},
            {"user": "x"},
            None,
            "x",
        ]
        for wrong in nobody:
            wrong_body = {"audience": wrong, "notification": note}
            answer = await server("POST", "/v1/notifications", wrong_body)
            assert refusal(answer) == (422, "invalid")


@asynchronous
async def test_scheduled_and_cancelled(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        id = await api.send("ada", send_at=time.time() + 3600)
        server = await api.key("notify")
        assert (await server.get(f"/v1/notifications/{id}"))["state"] == "scheduled"
        for _ in range(2):
            answer = await server("POST", f"/v1/notifications/{id}/cancel")
            assert (answer.status, answer.json["state"]) == (200, "cancelled")
        assert (await api.user("ada").get("/v1/inbox"))["items"] == []
        for method, path in (("GET", ""), ("GET", "/deliveries"), ("POST", "/cancel")):
            answer = await server(method, f"/v1/notifications/nothing{path}")
            assert refusal(answer) == (404, "not-found")


@asynchronous
async def test_deliveries_page_by_page(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        server = await api.key("*")
        for n in range(5):
            await server(
                "POST", "/v1/devices", {"user": "ada", "provider": "fcm", "token": f"t{n}"}
            )
        id = await api.send("ada")
        found: list[dict[str, Any]] = []
        path = f"/v1/notifications/{id}/deliveries?limit=2"
        page = await server.get(path)
        found += page["items"]
        while page["next"] is not None:
            page = await server.get(f"{path}&after={page['next']}")
            found += page["items"]
        assert len({each["id"] for each in found}) == len(found)
        assert all(
            set(each)
            == {"id", "recipient", "device", "provider", "state", "attempts", "last_error"}
            for each in found
        )


@asynchronous
async def test_preferences(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada = api.user("ada")
        assert (await ada.get("/v1/preferences"))["timezone"] == "UTC"
        wanted = {
            "topics": {"news": {"email": False}},
            "channels": {"fcm": True},
            "quiet_hours": {"start": "22:00", "end": "07:30"},
            "timezone": "Europe/Vienna",
            "locale": "de",
        }
        assert (await ada("PUT", "/v1/preferences", wanted)).json == wanted
        assert await ada.get("/v1/preferences") == wanted
        assert (await api.user("bob").get("/v1/preferences"))["timezone"] == "UTC"
        bad: list[Any] = [
            {"timezone": "Mars/Olympus"},
            {"timezone": "../../etc/passwd"},
            {"quiet_hours": {"start": "25:00", "end": "07:00"}},
            {"quiet_hours": {"start": "10:00\n", "end": "07:00"}},
            {"channels": {"pigeon": True}},
            {"unknown": 1},
            {"topics": {f"{number:0200}": {} for number in range(50)}},
            [],
        ]
        for wrong in bad:
            assert refusal(await ada("PUT", "/v1/preferences", wrong)) == (422, "invalid")
        assert await ada.get("/v1/preferences") == wanted


@asynchronous
async def test_a_topic_that_is_off_in_the_inbox_is_not_there(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada = api.user("ada")
        wanted = {"topics": {"news": {"inbox": False}}}
        assert (await ada("PUT", "/v1/preferences", wanted)).status == 200
        for title in ("one", "two"):
            await api.send("ada", "bob", title=title, topic="news" if title == "one" else "")
        assert [item["title"] for item in (await ada.get("/v1/inbox"))["items"]] == ["two"]
        assert await ada.get("/v1/inbox/unread") == {"unread": 1}
        assert await api.user("bob").get("/v1/inbox/unread") == {"unread": 2}
        assert (await ada("PUT", "/v1/preferences", {})).status == 200
        assert await ada.get("/v1/inbox/unread") == {"unread": 2}


@asynchronous
async def test_events(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        bearer = f"Authorization: Bearer {token('ada')}"
        async with await Listener.opened(api.site, "/v1/events", bearer) as stream:
            assert stream.opening.startswith("HTTP/1.1 200 ")
            assert await stream.event() == {"retry": "2000"}
            id = await api.send("ada", title="one")
            event = await stream.event()
            assert event["event"] == "notification"
            told = json.loads(event["data"])[0]
            assert (told["id"], told["title"]) == (id, "one")
            assert event["id"] == str(told["seq"])
        await api.send("ada", title="two")
        last = f"Last-Event-ID: {event['id']}"
        async with await Listener.opened(api.site, "/v1/events", bearer, last) as stream:
            await stream.event()
            assert json.loads((await stream.event())["data"])[0]["title"] == "two"
        answer = await api.nobody("GET", "/v1/events")
        assert refusal(answer) == (401, "token-required")
        answer = await api.bearer(token("ada", -1)).__call__("GET", "/v1/events")
        assert refusal(answer) == (401, "token-expired")
    async with rest(tmp_path / "open", secret="") as api:
        assert refusal(await api.nobody("GET", "/v1/events")) == (401, "token-required")


@asynchronous
async def test_what_a_socket_and_the_inbox_say_is_the_same(tmp_path: Path) -> None:
    async with rest(tmp_path) as api, await WebSocketClient.opened(api.site) as client:
        await client.say("40" + json.dumps({"token": token("ada")}))
        assert (await client.text()).startswith('40{"sid":')
        await api.send()
        told = json.loads((await client.text()).removeprefix("42"))[1]
        item = (await api.user("ada").get("/v1/inbox"))["items"][0]
        assert {name: item[name] for name in told} == told


# Idempotency


def with_key(key: str) -> str:
    return f"Idempotency-Key: {key}"


NOTE: dict[str, Any] = {"audience": {"users": ["ada"]}, "notification": {"title": "once"}}


@asynchronous
async def test_a_repeated_request_is_done_once(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        server = await api.key("notify")
        first = await server("POST", "/v1/notifications", NOTE, with_key("k1"))
        same = dict(reversed(NOTE.items()))
        again = await server("POST", "/v1/notifications", same, with_key("k1"))
        assert (again.status, again.body) == (first.status, first.body) == (202, first.body)
        assert (first["idempotency-replayed"], again["idempotency-replayed"]) == ("", "true")
        other = {**NOTE, "notification": {"title": "twice"}}
        answer = await server("POST", "/v1/notifications", other, with_key("k1"))
        assert refusal(answer) == (422, "key-reused")
        assert (await server("POST", "/v1/notifications", NOTE, with_key("k2"))).status == 202
        assert len((await api.user("ada").get("/v1/inbox"))["items"]) == 2
        for bad in ("", "x" * 201, "with space", "umläut"):
            answer = await server("POST", "/v1/notifications", NOTE, with_key(bad))
            assert refusal(answer) == (422, "invalid"), bad
        assert len((await api.user("ada").get("/v1/inbox"))["items"]) == 2


@asynchronous
async def test_another_caller_with_the_same_idempotency_key(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        one, other = await api.key("notify"), await api.key("notify")
        first = await one("POST", "/v1/notifications", NOTE, with_key("k"))
        second = await other("POST", "/v1/notifications", NOTE, with_key("k"))
        assert (first.status, second.status) == (202, 202)
        assert first.json["id"] != second.json["id"], "nothing is told of another caller's"
        assert second["idempotency-replayed"] == ""


@asynchronous
async def test_many_at_once_with_one_idempotency_key(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        server = await api.key("notify")
        asked = [server("POST", "/v1/notifications", NOTE, with_key("k")) for _ in range(20)]
        answers = await asyncio.gather(*asked)
        assert {answer.status for answer in answers} <= {202, 409}
        ids = {answer.json["id"] for answer in answers if answer.status == 202}
        assert len(ids) == 1
        assert len((await api.user("ada").get("/v1/inbox"))["items"]) == 1


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (StoreError("disk full"), 503, "store-unavailable", "1"),
        (Conflict("still-running", "wait"), 409, "still-running", "1"),
        (RuntimeError("secret detail"), 500, "internal", ""),
    ],
)
@asynchronous
async def test_a_store_that_cannot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
    retry: str,
) -> None:
    async with rest(tmp_path) as api:
        server, app = await api.key("notify"), api.site.app
        assert app.notifier is not None

        async def accept(*_: Any, **__: Any) -> Accepted:
            raise error

        monkeypatch.setattr(app.notifier.notifications, "accept", accept)
        answer = await server("POST", "/v1/notifications", NOTE)
        assert refusal(answer) == (status, code)
        assert answer["retry-after"] == retry
        assert b"secret detail" not in answer.body
        assert len(api.site.alarms.messages) == (status == 500)


@asynchronous
async def test_a_template_is_filled_in(tmp_path: Path) -> None:
    app = App()
    app.template("invoice", title="Invoice {{ number }}", body="{{ sum }} euros")
    async with rest(tmp_path, app) as api:
        await api.send("ada", title="", template="invoice", variables={"number": 7, "sum": 5})
        item = (await api.user("ada").get("/v1/inbox"))["items"][0]
        assert (item["title"], item["body"]) == ("Invoice 7", "5 euros")
        body = {"audience": {"all": True}, "notification": {"template": "nothing"}}
        answer = await (await api.key("notify"))("POST", "/v1/notifications", body)
        assert refusal(answer) == (422, "invalid")


@asynchronous
async def test_without_a_store() -> None:
    app = App()
    add_api(app)
    async with serving(app, secret="s" * 32) as site:
        answer = await ask(site, "GET", "/v1/inbox", f"Authorization: Bearer {token('ada')}")
        assert refusal(answer) == (503, "store-unavailable")
        key = "Authorization: Bearer hk_0123456789abcdef_" + "a" * 43
        assert refusal(await ask(site, "GET", "/v1/devices", key)) == (503, "store-unavailable")


@asynchronous
async def test_users_that_connect_are_in_all(tmp_path: Path) -> None:
    app = App()
    seen: list[str] = []

    @app.on("connect")
    def connect(socket: Socket) -> None:
        seen.append(socket.user)

    async with rest(tmp_path, app) as api, await WebSocketClient.opened(api.site) as client:
        await client.say("40" + json.dumps({"token": token("ada")}))
        await eventually(lambda: seen == ["ada"])
        assert (await client.text()).startswith('40{"sid":')
        id = await api.send()
        server = await api.key("read")
        assert (await server.get(f"/v1/notifications/{id}"))["recipients"] == 1


@asynchronous
async def test_an_app_that_decides_knows_when_a_request_came(tmp_path: Path) -> None:
    app, times = App(), []

    @app.authenticate
    def who(handshake: Handshake) -> str:
        times.append(handshake.time.timestamp())
        return "ada"

    before = time.time()
    async with rest(tmp_path, app) as api:
        assert (await api.nobody("GET", "/v1/inbox")).status == 200
    assert before - 0.001 < times[0] < time.time() + 0.001  # a datetime has whole microseconds
