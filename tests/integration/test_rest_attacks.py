"""What must not work, with the exact answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from base64 import b64encode
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hocket import App, Handshake
from hocket.identity import fetch
from hocket.identity.csrf import is_csrf, make_csrf
from hocket.identity.keyset import read_pem
from hocket.serve.api import routes
from hocket.serve.api.notifications import MAX_BODY
from hocket.store.base import Keys, RevokeKey
from hocket.transport.http import MOST_LARGE
from tests.integration.rest import SECRET, Caller, Rest, refusal, rest, token
from tests.peers import answer as said
from tests.peers import in_turn, peer
from tests.support import Answer, Wire, asynchronous, eventually, head
from tests.unit.identity.signing import (
    by_hand,
    jwk,
    key_set,
    other_rsa_key,
    pem,
    rsa_key,
    signed,
)
from tests.unit.identity.test_fetch import OK, answering

NOTE: dict[str, Any] = {"audience": {"all": True}, "notification": {"title": "x"}}
WEBHOOKS = "whsec_" + b64encode(b"k" * 32).decode()
FOREIGN = "Origin: https://evil.example"
NOTHING = 'Bearer realm="hocket"'
WRONG = 'Bearer realm="hocket", error="invalid_token"'  # RFC 6750 section 3.1


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "exp": time.time() + 60, **more}


# Tokens and keys


@asynchronous
async def test_forged_tokens(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(rsa_key()))
    settings: dict[str, Any] = {"token_public_key": str(path), "token_audience": "here"}
    async with rest(tmp_path / "data", **settings) as api:
        for text, code in (
            (by_hand({"alg": "none"}, claims()), "token-required"),
            (by_hand({"alg": "none"}, claims(), SECRET.encode()), "token-required"),
            (by_hand({"alg": "HS256"}, claims(), pem(rsa_key())), "token-required"),
            (by_hand({"alg": "RS256"}, claims(), SECRET.encode()), "token-required"),
            (signed(other_rsa_key(), "RS256", **claims(aud="here")), "token-required"),
            (signed(rsa_key(), "RS256", **claims(exp=time.time() - 1)), "token-audience"),
            (signed(rsa_key(), "RS256", **claims(aud="there")), "token-audience"),
            (signed(rsa_key(), "RS256", **claims(aud="here", exp=1)), "token-expired"),
        ):
            answer = await api.bearer(text)("GET", "/v1/inbox")
            assert refusal(answer) == (401, code), text
            assert answer["www-authenticate"] == WRONG
        good = signed(rsa_key(), "RS256", **claims(aud="here"))
        assert (await api.bearer(good)("GET", "/v1/inbox")).status == 200
    assert list(read_pem(path.read_bytes())) == ["RS256"]


@asynchronous
async def test_a_users_token_opens_no_server_route(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada = api.user("ada")
        for method, path, body in (
            ("POST", "/v1/notifications", NOTE),
            ("GET", "/v1/notifications/x", None),
            ("GET", "/v1/notifications/x/deliveries", None),
            ("POST", "/v1/notifications/x/cancel", None),
            ("PUT", "/v1/topics/news/users/ada", None),
            ("DELETE", "/v1/topics/news/users/ada", None),
        ):
            assert refusal(await ada(method, path, body)) == (403, "key-required")
        id = await api.send()
        assert refusal(await ada("GET", f"/v1/notifications/{id}")) == (403, "key-required")


@asynchronous
async def test_a_key_is_no_user(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        server = await api.key("*")
        for method, path in (
            ("GET", "/v1/inbox"),
            ("GET", "/v1/inbox/unread"),
            ("POST", "/v1/inbox/read"),
            ("POST", "/v1/inbox/x/read"),
            ("GET", "/v1/preferences"),
            ("PUT", "/v1/preferences"),
            ("GET", "/v1/csrf"),
            ("GET", "/v1/events"),
        ):
            assert refusal(await server(method, path)) == (403, "user-required")
        body = {"provider": "fcm", "token": "t"}
        assert refusal(await server("POST", "/v1/devices", body)) == (422, "invalid")


@asynchronous
async def test_a_key_of_too_small_a_scope(tmp_path: Path) -> None:
    allowed = {
        "notify": {"send", "status"},
        "read": {"status", "devices"},
        "devices": {"register", "devices"},
        "topics": {"join"},
        "*": {"send", "status", "register", "devices", "join"},
    }
    needed = {
        "send": "notify",
        "status": "read",
        "register": "devices",
        "devices": "devices",
        "join": "topics",
    }
    device = {"user": "ada", "provider": "fcm", "token": "t"}
    async with rest(tmp_path) as api:
        for scope, names in allowed.items():
            server = await api.key(scope)
            for name, method, path, body in (
                ("send", "POST", "/v1/notifications", NOTE),
                ("status", "GET", "/v1/notifications/nothing", None),
                ("register", "POST", "/v1/devices", device),
                ("devices", "GET", "/v1/devices", None),
                ("join", "PUT", "/v1/topics/news/users/ada", None),
            ):
                answer = await server(method, path, body)
                if name in names:
                    assert answer.status in (200, 201, 202, 204, 404), (scope, name)
                else:
                    assert refusal(answer) == (403, "scope-missing"), (scope, name)
                    error = f'error="insufficient_scope", scope="{needed[name]}"'
                    assert answer["www-authenticate"] == f'Bearer realm="hocket", {error}'


@asynchronous
async def test_keys_that_are_none(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        text = await api.key_text("*")
        assert (await api.bearer(text)("GET", "/v1/devices")).status == 200
        id, secret = text.split("_", 2)[1:]
        last = "A" if text[-1] != "A" else "B"
        for wrong in (
            text[:-1],
            text[:-1] + last,
            text + "x",
            f"hk_{id}_",
            f"hk_{'0' * 16}_{secret}",
            f"hk_{id}_{hashlib.sha256(secret.encode()).hexdigest()[:43]}",
            "hk_' OR 1=1 --",
            "hk_",
        ):
            answer = await api.bearer(wrong)("GET", "/v1/devices")
            assert refusal(answer) == (401, "key-invalid"), wrong
            assert answer["www-authenticate"] == WRONG
        store = api.site.app.store
        assert store is not None
        rows = [row for row in await store.do(Keys()) if row.id == id]
        assert rows[0].hash == hashlib.sha256(secret.encode()).digest()
        assert await store.do(RevokeKey(id))
        assert refusal(await api.bearer(text)("GET", "/v1/devices")) == (401, "key-invalid")


@asynchronous
async def test_who_shows_nothing(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        for fields in ((), ("Authorization: Basic YTpi",), ("Authorization: Bearer",)):
            answer = await Caller(api.site, fields)("GET", "/v1/inbox")
            assert refusal(answer) == (401, "token-required")
            assert answer["www-authenticate"] == NOTHING
        query = await api.nobody("GET", f"/v1/inbox?token={token('ada')}")
        assert refusal(query) == (401, "token-required"), "URLs end up in logs"
    app = App()
    app.authenticate(lambda handshake: None)
    async with rest(tmp_path / "own", app, secret="") as api:
        answer = await api.nobody("GET", "/v1/inbox")
        assert refusal(answer) == (401, "not-allowed")
        assert answer["www-authenticate"] == NOTHING
        assert (await api.bearer("x")("GET", "/v1/inbox"))["www-authenticate"] == WRONG


# Other people's things


@asynchronous
async def test_another_users_things_are_as_if_they_were_not(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, bob = api.user("ada"), api.user("bob")
        device = (await ada("POST", "/v1/devices", {"provider": "fcm", "token": "t"})).json["id"]
        note = await api.send("ada")
        for method, theirs, nothing in (
            ("DELETE", f"/v1/devices/{device}", "/v1/devices/nothing"),
            ("POST", f"/v1/inbox/{note}/read", "/v1/inbox/nothing/read"),
            ("POST", f"/v1/inbox/{note}/unread", "/v1/inbox/nothing/unread"),
            ("POST", f"/v1/inbox/{note}/archive", "/v1/inbox/nothing/archive"),
        ):
            one, other = await bob(method, theirs), await bob(method, nothing)
            assert refusal(one) == refusal(other) == (404, "not-found")
            assert one.body.replace(note.encode(), b"nothing") == other.body
        answer = await bob("POST", "/v1/inbox/read", {"ids": [note]})
        assert refusal(answer) == (404, "not-found")
        for path in ("/v1/devices?user=ada", "/v1/topics?user=ada", "/v1/topics?user=nobody"):
            assert refusal(await bob("GET", path)) == (403, "not-yours")
        body = {"user": "ada", "provider": "fcm", "token": "u"}
        assert refusal(await bob("POST", "/v1/devices", body)) == (403, "not-yours")
        assert (await bob.get("/v1/inbox"))["items"] == []
        assert await ada.get("/v1/inbox/unread") == {"unread": 1}
        assert len((await ada.get("/v1/devices"))["items"]) == 1


# Cookies


def cookie(name: str, *more: str) -> str:
    return "; ".join([f"Cookie: hocket_token={token(name)}", *more])


@asynchronous
async def test_a_change_by_cookie_needs_a_csrf_token(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        session = cookie("ada")
        page = f"Origin: {api.site.url}"
        ada = Caller(api.site, (session, page))
        assert (await ada.get("/v1/inbox/unread")) == {"unread": 0}
        assert refusal(await ada("POST", "/v1/inbox/read")) == (403, "csrf-required")

        given = await ada("GET", "/v1/csrf")
        csrf = given.json["token"]
        assert given["set-cookie"] == f"hocket_csrf={csrf}; Path=/v1; SameSite=Strict"
        both = (f"{session}; hocket_csrf={csrf}", page)
        assert (await Caller(api.site, both)("POST", "/v1/inbox/read")).status == 403
        header = f"X-CSRF-Token: {csrf}"
        good = await Caller(api.site, both)("POST", "/v1/inbox/read", None, header)
        assert good.status == 204
        without_origin = Caller(api.site, both[:1])
        assert (await without_origin("POST", "/v1/inbox/read", None, header)).status == 204

        forged = make_csrf("another session")
        for fields in (
            (session, page, header),
            (f"{session}; hocket_csrf={forged}", page, f"X-CSRF-Token: {forged}"),
            (f"{session}; hocket_csrf={csrf}", page, "X-CSRF-Token: "),
            (f"{session}; hocket_csrf=", page, "X-CSRF-Token: "),
            (f"{session}; hocket_csrf={csrf}x", page, f"X-CSRF-Token: {csrf}x"),
            (f"{cookie('ada')}; hocket_csrf=.", page, "X-CSRF-Token: ."),
        ):
            answer = await Caller(api.site, fields)("POST", "/v1/inbox/read")
            assert refusal(answer) == (403, "csrf-required"), fields
        bearer = api.user("ada")
        assert (await bearer("POST", "/v1/inbox/read")).status == 204, "no browser adds that"


@asynchronous
async def test_a_foreign_page_with_cookies(tmp_path: Path) -> None:
    async with rest(tmp_path, origins="*") as api:
        csrf = make_csrf(token("ada"))
        session = cookie("ada", f"hocket_csrf={csrf}")
        for fields in ((session, FOREIGN), (session, "Sec-Fetch-Site: cross-site")):
            caller = Caller(api.site, fields)
            for method, path in (("GET", "/v1/inbox"), ("GET", "/v1/csrf"), ("GET", "/v1/events")):
                assert refusal(await caller(method, path)) == (401, "token-required")
            answer = await caller("POST", "/v1/inbox/read", None, f"X-CSRF-Token: {csrf}")
            assert refusal(answer) == (401, "token-required")


@asynchronous
async def test_what_browsers_are_told_of_other_origins(tmp_path: Path) -> None:
    listed = "https://app.example"
    async with rest(tmp_path, origins=[listed]) as api:
        answer = await api.nobody("OPTIONS", "/v1/devices/x", None, f"Origin: {listed}")
        assert answer.status == 204
        assert answer["access-control-allow-origin"] == listed
        assert "DELETE" in answer["access-control-allow-methods"]
        assert "x-csrf-token" in answer["access-control-allow-headers"]
        answer = await api.user("ada")("GET", "/v1/inbox", None, f"Origin: {listed}")
        assert (answer["access-control-allow-origin"], answer["vary"]) == (listed, "origin")
        for method, path in (("OPTIONS", "/v1/inbox"), ("GET", "/v1/inbox")):
            answer = await api.user("ada")(method, path, None, FOREIGN)
            assert answer["access-control-allow-origin"] == ""


@asynchronous
async def test_a_page_may_read_errors_that_no_endpoint_made(tmp_path: Path) -> None:
    ours = "Origin: https://app.example"
    length = f"Content-Length: {MAX_BODY + 1}"
    async with rest(tmp_path, origins=["https://app.example"]) as api:
        for method, path, more, told in (
            ("GET", "/v1/nothing", (), (404, "not-found")),
            ("PATCH", "/v1/notifications", (), (405, "method-not-allowed")),
            ("POST", "/v1/inbox/read", (length,), (413, "too-large")),
        ):
            for page, allowed in ((ours, "https://app.example"), (FOREIGN, "")):
                async with await Wire.to(api.site) as wire:
                    await wire.send(head(wire.host, path, method, page, *more))
                    answer = await wire.answer()
                    assert refusal(answer) == told
                    assert answer["access-control-allow-origin"] == allowed
                    assert answer["cache-control"] == "no-store"
                    assert answer["x-content-type-options"] == "nosniff"
                    assert answer["vary"] == ("origin" if allowed else "")


@asynchronous
async def test_events_are_refused_as_all_else_is(tmp_path: Path) -> None:
    listed = "https://app.example"
    path = "/v1/events"
    async with rest(tmp_path / "one", origins=[listed]) as api:
        nobody, ada = api.nobody, api.user("ada")
        for caller, target, page, told, shown in (
            (nobody, path, "", (401, "token-required"), NOTHING),
            (api.bearer("x"), path, "", (401, "token-required"), WRONG),
            (nobody, f"{path}?token=x", "", (401, "token-required"), NOTHING),
            (ada, f"{path}?after=zz", "", (422, "invalid"), ""),
            (await api.key("*"), path, "", (403, "user-required"), ""),
            (ada, path, FOREIGN, (403, "forbidden"), ""),
            (nobody, path, f"Origin: {listed}", (401, "token-required"), NOTHING),
        ):
            answer = await caller("GET", target, None, *([page] if page else []))
            assert refusal(answer) == told, (target, page)
            assert answer["www-authenticate"] == shown
            assert answer["cache-control"] == "no-store"
            assert answer["access-control-allow-origin"] == (listed if listed in page else "")
        for method in ("HEAD", "POST"):
            answer = await ada(method, path)
            assert (answer.status, answer["allow"]) == (405, "GET, OPTIONS")
        assert (await nobody("OPTIONS", path, None, f"Origin: {listed}")).status == 204
    async with rest(tmp_path / "two", secret="") as api:
        answer = await api.nobody("GET", path)
        assert refusal(answer) == (401, "token-required")
        assert answer["www-authenticate"] == NOTHING
    app = App()

    @app.on_handshake
    async def never(handshake: Handshake) -> bool:
        await asyncio.sleep(0)
        return False

    async with rest(tmp_path / "three", app) as api:
        assert refusal(await api.user("ada")("GET", path)) == (403, "forbidden")


@asynchronous
async def test_a_session_of_the_apps_own(tmp_path: Path) -> None:
    app = App()
    app.authenticate(lambda handshake: "ada" if "cookie" in handshake.headers else None)
    async with rest(tmp_path, app) as api:
        page = f"Origin: {api.site.url}"
        caller = Caller(api.site, ("Cookie: sid=1", page))
        assert refusal(await caller("POST", "/v1/inbox/read")) == (403, "csrf-required")
        csrf = (await caller.get("/v1/csrf"))["token"]
        both = Caller(api.site, (f"Cookie: sid=1; hocket_csrf={csrf}", f"X-CSRF-Token: {csrf}"))
        assert (await both("POST", "/v1/inbox/read", None, page)).status == 204
        answer = await both("POST", "/v1/inbox/read", None, FOREIGN)
        assert refusal(answer) == (403, "csrf-required")


@asynchronous
async def test_what_a_browser_or_a_proxy_adds_by_itself(tmp_path: Path) -> None:
    """A remembered password, a field that says who it is: a foreign page would have them too."""
    app = App()
    app.authenticate(lambda handshake: "ada")
    async with rest(tmp_path, app, origins="*") as api:
        own = f"Origin: {api.site.url}"
        basic = "Authorization: Basic eDp5"
        for fields in ((basic,), ("X-User: ada",), ("Cookie: a=1", basic)):
            caller = Caller(api.site, fields)
            for page in (FOREIGN, "Sec-Fetch-Site: cross-site"):
                answer = await caller("POST", "/v1/inbox/read", None, page)
                assert refusal(answer) == (403, "csrf-required"), fields
            assert (await caller("POST", "/v1/inbox/read", None, own)).status == 204
            assert (await caller("POST", "/v1/inbox/read")).status == 204, "no browser"
        bearer = Caller(api.site, ("Authorization: Bearer abc", FOREIGN))
        assert (await bearer("POST", "/v1/inbox/read")).status == 204, "a page's own doing"


def test_csrf_tokens_belong_to_a_session() -> None:
    one = make_csrf("session 1")
    assert is_csrf("session 1", one, one)
    assert not is_csrf("session 2", one, one)
    assert not is_csrf("session 1", one, make_csrf("session 1"))
    for wrong in ("", ".", "é", one + "\n", "x" * 201, one.replace(".", "")):
        assert not is_csrf("session 1", wrong, wrong)


# Bodies and heads


@asynchronous
async def test_bodies(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        server, ada = await api.key("*"), api.user("ada")
        deep = b'{"audience":{"all":true},"notification":{"title":"x","data":'
        for body, code in (
            (b"", "bad-json"),
            (b"{", "bad-json"),
            (b"\xff\xfe", "bad-json"),
            (b'{"audience":{"topic":"\xff"}}', "bad-json"),
            (b"null", "invalid"),
            (b"[]", "invalid"),
            (b'{"audience":{"all":true}}', "invalid"),
            (deep + b'{"a":' * 17 + b"1" + b"}" * 17 + b"}}", "invalid"),
            (deep + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}}", "too-deep"),
            (deep + b'{"a":"' + b"x" * 70_000 + b'"}}}', "invalid"),
            (b'{"audience":{"all":true},"notification":{"title":"x","ttl":-1}}', "invalid"),
            (b'{"audience":{"all":true},"notification":{"title":""}}', "invalid"),
            (b'{"audience":{"all":true},"notification":{"titel":"x"}}', "invalid"),
            (b'{"audience":{"all":true},"notification":{"title":"x"},"send":1}', "invalid"),
        ):
            answer = await server("POST", "/v1/notifications", body)
            status = {"bad-json": 400, "too-deep": 400, "invalid": 422}[code]
            assert refusal(answer) == (status, code), body[:80]
        for body in (b'{"provider":"fcm","token":""}', b'{"provider":"fcm","token":5}'):
            assert refusal(await ada("POST", "/v1/devices", body)) == (422, "invalid")
        body = b'{"provider":"pigeon","token":"x"}'
        assert refusal(await ada("POST", "/v1/devices", body)) == (422, "unknown-provider")
        big = json.dumps({"provider": "webpush", "token": {"endpoint": "x" * 5_000}}).encode()
        assert refusal(await ada("POST", "/v1/devices", big)) == (422, "bad-device-token")


@asynchronous
async def test_oversize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rest(tmp_path) as api:
        key = f"Authorization: Bearer {await api.key_text('*')}"
        length = f"Content-Length: {MAX_BODY + 1}"
        async with await Wire.to(api.site) as wire:
            await wire.send(head(wire.host, "/v1/notifications", "POST", key, length))
            assert refusal(await wire.answer()) == (413, "too-large")
            assert await wire.is_closed()
        body = json.dumps({"ids": ["x" * 70_000]}).encode()
        assert refusal(await api.user("ada")("POST", "/v1/inbox/read", body)) == (413, "too-large")
        answer = await api.user("ada")("PUT", "/v1/preferences", b" " * 70_000)
        assert refusal(answer) == (413, "too-large")
        users = [f"user-{'x' * 40}-{n:06}" for n in range(50_000)]
        note = {"audience": {"users": users}, "notification": {"title": "x"}}
        server = await api.key("notify")
        assert (await server("POST", "/v1/notifications", note)).status == 202


@asynchronous
async def test_large_bodies_are_few_and_of_servers(tmp_path: Path) -> None:
    path = "/v1/notifications"
    large = ("Content-Length: 2000000", "Expect: 100-continue")
    async with rest(tmp_path) as api, AsyncExitStack() as stack:

        async def asking(*fields: str) -> tuple[Wire, Answer]:
            wire = await stack.enter_async_context(await Wire.to(api.site))
            await wire.send(head(wire.host, path, "POST", *fields))
            return wire, await wire.answer()

        key = f"authorization: bearer {await api.key_text('notify')}"
        for fields in ((), (f"Authorization: Bearer {token('ada')}",), ("Authorization: hk_",)):
            assert refusal((await asking(*fields, *large))[1]) == (413, "too-large")
        body = json.dumps(NOTE).encode()
        part = body + b" " * (1_500_000 - len(body))
        wires = []
        for _ in range(MOST_LARGE + 5):  # who has sent little of it is in nobody's way
            wire, answer = await asking(key, *large)
            assert answer.status == 100
            wires.append(wire)
        for wire in wires[:MOST_LARGE]:
            await wire.send(part)
        await eventually(lambda: api.site.worker.http.large == MOST_LARGE)
        await wires[-1].send(part)
        answer = await wires[-1].answer()
        assert refusal(answer) == (503, "busy")
        assert answer["retry-after"] == "1"
        wire, _ = await asking(key, "Transfer-Encoding: chunked", "Expect: 100-continue")
        await wire.send(b"%x\r\n%b\r\n" % (len(part), part))
        assert refusal(await wire.answer()) == (503, "busy")
        await wires[0].send(b" " * 500_000)
        assert (await wires[0].answer()).status == 202
        wires[1].reset()
        await eventually(lambda: api.site.worker.http.large == MOST_LARGE - 2)
        await wires[MOST_LARGE].send(part + b" " * 500_000)
        assert (await wires[MOST_LARGE].answer()).status == 202


@asynchronous
async def test_queries_and_paths(tmp_path: Path) -> None:
    async with rest(tmp_path) as api:
        ada, server = api.user("ada"), await api.key("*")
        for query in (
            "limit=0", "limit=1001", "limit=x", "limit=", "after=-1", "after=1e99", "after=x",
            "after=1&before=2", "archived=perhaps", "after=" + "9" * 400, "before=null",
            "&".join(f"a{n}=1" for n in range(101)), "a=%ff",
        ):  # fmt: skip
            assert refusal(await ada("GET", f"/v1/inbox?{query}")) == (422, "invalid"), query
        assert (await ada("GET", "/v1/inbox?limit=5&unknown=1")).status == 200
        assert refusal(await ada("GET", "/v1/nothing")) == (404, "not-found")
        answer = await ada("PATCH", "/v1/inbox")
        assert refusal(answer) == (405, "method-not-allowed")
        assert "GET" in answer["allow"]
        for path in ("%00", "%0d%0aX-Evil:%201", "..%2f..", "%F0%9F%92%A9", "'--"):
            answer = await server("GET", f"/v1/notifications/{path}")
            assert refusal(answer) == (404, "not-found"), path
            assert answer["x-evil"] == ""
        for path in ("%ff", "a%c3", "%ed%a0%80"):
            for method, target in (
                ("GET", f"notifications/{path}"),
                ("PUT", f"topics/a/users/{path}"),
            ):
                assert refusal(await server(method, f"/v1/{target}")) == (400, "bad-request"), path


@asynchronous
async def test_injected_header_fields(tmp_path: Path) -> None:
    """What callers say comes back in no header."""
    async with rest(tmp_path) as api:
        server = await api.key("notify")
        note = {**NOTE, "notification": {"title": "x\r\nX-Evil: 1", "url": "\r\n\r\n<script>"}}
        answer = await server("POST", "/v1/notifications", note)
        assert (answer.status, answer["x-evil"]) == (202, "")
        user = "ada\r\nSet-Cookie: a=b"
        answer = await api.user(user)("GET", "/v1/csrf")
        assert answer.status == 200
        assert answer["set-cookie"].startswith("hocket_csrf=")


# Addresses that users supply


@asynchronous
async def test_a_device_leads_into_no_private_network(tmp_path: Path) -> None:
    """By a literal address in whatever spelling, a name of this machine, or plain HTTP."""
    async with rest(tmp_path, webhook_secret=WEBHOOKS) as api:
        ada = api.user("ada")
        for url, why in (
            ("https://127.0.0.1/", "not an IP address"),
            ("https://169.254.169.254/latest/meta-data/", "not an IP address"),
            ("https://0x7f000001/", "not an IP address"),
            ("https://2130706433/", "not an IP address"),
            ("https://[::1]/", "needs a host name"),
            ("https://[::ffff:10.0.0.1]/", "needs a host name"),
            ("https://localhost/", "not a host of the public internet"),
            ("https://metadata.google.internal/", "not a host of the public internet"),
            ("https://example.com:22/", "port 22 is not allowed"),
            ("https://example.com@10.0.0.1/", "user or a password"),
            ("http://example.com/", "must begin with https://"),
            ("file:///etc/passwd", "must begin with https://"),
        ):
            answer = await ada("POST", "/v1/devices", {"provider": "webhook", "token": url})
            assert refusal(answer) == (422, "bad-device-token"), url
            assert why in answer.json["detail"], url
        good = {"provider": "webhook", "token": "https://example.com/hook"}
        assert (await ada("POST", "/v1/devices", good)).status == 201


@asynchronous
async def test_a_name_that_leads_into_a_private_network_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS answers are looked at when it connects, so what they were before is no matter."""

    async def resolve(self: Any, host: str, port: int = 0, family: Any = None) -> list[Any]:
        resolved.append(host)
        its = {"hostname": host, "host": "127.0.0.1", "port": port, "proto": 6, "flags": 0}
        return [{**its, "family": socket.AF_INET}]

    resolved: list[str] = []

    async with peer(in_turn(said(200))) as inside:
        port = inside.url.rpartition(":")[2]
        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        async with rest(tmp_path, webhook_secret=WEBHOOKS) as api:
            url = f"https://rebound.example.com:{port}/hook"
            device = {"provider": "webhook", "token": url}
            assert (await api.user("ada")("POST", "/v1/devices", device)).status == 201
            [row] = await settled(api, await api.send("ada"))
            assert (row["state"], row["last_error"]) == (
                "failed",
                "the address is not one of the public internet",
            )
        assert inside.connections == 0
        assert resolved == ["rebound.example.com"]


@asynchronous
async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with peer(in_turn(said(200))) as inside:
        there = said(307, "", f"Location: {inside.url}/secret")
        async with (
            peer(in_turn(there)) as outside,
            rest(tmp_path, webhook_secret=WEBHOOKS, allow_private_endpoints=True) as api,
        ):
            device = {"provider": "webhook", "token": f"{outside.url}/hook"}
            assert (await api.user("ada")("POST", "/v1/devices", device)).status == 201
            [row] = await settled(api, await api.send("ada"))
            assert (row["state"], row["last_error"]) == ("failed", "HTTP 307")
            assert len(outside.requests) == 1
        assert inside.connections == 0


async def settled(api: Rest, id: str) -> list[Any]:
    """A notification's deliveries, once it is done."""
    server = await api.key("read")
    async with asyncio.timeout(20):
        while (await server.get(f"/v1/notifications/{id}"))["state"] != "done":
            await asyncio.sleep(0.01)
    items: list[Any] = (await server.get(f"/v1/notifications/{id}/deliveries"))["items"]
    return items


# Templates


@asynchronous
async def test_what_callers_say_is_never_a_template(tmp_path: Path) -> None:
    app = App()
    app.template("order", title="Order {{ id }}", body="{{ note }}")
    evil = "{{ 7 * 7 }}{% for x in range(9) %}{{ ''.__class__ }}{% endfor %}"
    async with rest(tmp_path, app) as api:
        await api.send("ada", title=evil)
        variables = {"id": evil, "note": evil}
        await api.send("ada", title="", template="order", variables=variables)
        plain, filled = (await api.user("ada").get("/v1/inbox"))["items"]
        assert plain["title"] == evil
        assert (filled["title"], filled["body"]) == (f"Order {evil}", evil)
        server = await api.key("notify")
        for template in ("../../etc/passwd", "{{ 7 * 7 }}", "order\0", evil):
            note = {**NOTE, "notification": {"template": template, "variables": variables}}
            assert refusal(await server("POST", "/v1/notifications", note)) == (422, "invalid")


@asynchronous
async def test_nothing_is_read_of_who_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(routes, "read_body", never)
    async with rest(tmp_path) as api:
        for caller in (api.nobody, api.user("ada"), await api.key("read")):
            answer = await caller("POST", "/v1/notifications", b"{" * 1_000)
            assert refusal(answer)[0] in (401, 403)
        assert api.site.alarms.messages == []


# Keys that must be fetched


@asynchronous
async def test_a_login_that_hangs_holds_up_only_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    good = signed(rsa_key(), "RS256", "one", exp=time.time() + 60)
    async with answering(OK, hang=True) as url, rest(tmp_path, token_jwks=url) as api:
        answer = await api.bearer(good)("GET", "/v1/inbox")
        assert refusal(answer) == (503, "keys-unavailable")
        assert (await api.user("ada")("GET", "/v1/inbox")).status == 200, "by the secret"
    content = key_set(jwk(rsa_key(), kid="one"))
    async with answering(OK, content) as url, rest(tmp_path, token_jwks=url) as api:
        assert (await api.bearer(good)("GET", "/v1/inbox")).status == 200
