"""Django on the same port: as ASGI and, through threads, as WSGI."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import django
import pytest
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

from hocket import App
from tests.integration import django_site
from tests.support import (
    Answer,
    Gone,
    Site,
    WebSocketClient,
    Wire,
    asynchronous,
    eventually,
    head,
    serving,
)

django.setup()
PREFIXES = ["/shop", "/old"]  # ASGI and WSGI

app = django_site.app
app.mount("/shop", get_asgi_application())
app.mount_wsgi("/old", get_wsgi_application())


@asynccontextmanager
async def talking(app: App = app) -> AsyncIterator[tuple[Site, Wire]]:
    """A server, and one connection to it."""
    async with serving(app) as site, await Wire.to(site) as wire:
        yield site, wire


async def is_usable(wire: Wire) -> bool:
    return (await wire.request("GET", "/shop/where/")).status == 200


# Where a request goes


@pytest.mark.parametrize("view", ["where", "where-async"])
@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_a_view_knows_where_it_is(prefix: str, view: str) -> None:
    async with talking() as (site, wire):
        answer = await wire.request("GET", f"{prefix}/{view}/?q=%20b&q=c%26")
        assert answer.json == {
            "path": f"{prefix}/{view}/",
            "prefix": prefix,
            "rest": f"/{view}/",
            "name": "",
            "query": [" b", "c&"],
            "address": "127.0.0.1",
            "absolute": f"{site.url}{prefix}/articles/a%20b/",
        }


@asynchronous
async def test_at_the_root_there_is_no_prefix() -> None:
    whole = App()
    whole.mount("/", get_asgi_application())
    async with talking(whole) as (site, wire):
        answer = await wire.request("GET", "/articles/%C3%A9/")
        assert (answer.json["prefix"], answer.json["name"]) == ("", "é")
        assert answer.json["absolute"] == f"{site.url}/articles/a%20b/"
        assert (await wire.request("GET", "/socket.io/?EIO=4&transport=polling")).body[:1] == b"0"


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_a_redirect_stays_under_the_prefix(prefix: str) -> None:
    async with talking() as (_, wire):
        answer = await wire.request("GET", f"{prefix}/where?q=1")
        assert (answer.status, answer["location"]) == (301, f"{prefix}/where/?q=1")
        assert (await wire.request("GET", f"{prefix}/nothing")).status == 404


# Bodies


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_a_megabyte_is_posted(prefix: str) -> None:
    async with talking() as (_, wire):
        for _ in range(2):  # on one connection
            answer = await wire.request("POST", f"{prefix}/length", body=bytes(1_000_000))
            assert (answer.status, answer.body) == (200, b"1000000")


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_a_file_larger_than_max_payload_is_uploaded(prefix: str) -> None:
    async with talking() as (_, wire):
        answer = await upload(wire, f"{prefix}/upload", 5_000_000)
        assert (answer.status, answer.body) == (200, b"a.bin 5000000 hello")
        assert await is_usable(wire)


async def upload(wire: Wire, target: str, size: int) -> Answer:
    mark = uuid.uuid4().hex
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="title"\r\n\r\nhello\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="part"; filename="a.bin"\r\n\r\n'
    ).encode() + bytes(size)
    kind = f"Content-Type: multipart/form-data; boundary={mark}"
    return await wire.request("POST", target, kind, body=body + f"\r\n--{mark}--\r\n".encode())


@asynchronous
async def test_a_stream_leaves_as_it_is_made() -> None:
    django_site.asked = asyncio.Event()
    async with talking() as (_, wire):
        await wire.send(head(wire.host, "/shop/stream"))
        assert b"chunked" in await wire.up_to(b"\r\n\r\n")
        assert await wire.up_to(b"first \r\n") == b"6\r\nfirst \r\n"
        django_site.asked.set()
        assert await wire.up_to(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        assert await is_usable(wire)


@asynchronous
async def test_a_stream_through_wsgi() -> None:
    async with talking() as (_, wire):
        answer = await wire.request("GET", "/old/stream-sync")
        assert (answer["transfer-encoding"], len(answer.body)) == ("chunked", 1_000_000)
        assert await is_usable(wire)


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_a_head_request_gets_no_body(prefix: str) -> None:
    async with talking() as (_, wire):
        answer = await wire.request("HEAD", f"{prefix}/where/")
        assert answer.status == 200
        assert int(answer["content-length"]) > 0
        assert await is_usable(wire)


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_every_cookie_is_set(prefix: str) -> None:
    async with talking() as (_, wire):
        answer = await wire.request("GET", f"{prefix}/cookies", "Cookie: x=y; a=z")
        assert answer.body == b"z"
        assert [value for name, value in answer.fields if name == "set-cookie"] == [
            "a=1; Path=/", "b=2; HttpOnly; Path=/",
        ]  # fmt: skip


# Failures


@pytest.fixture
def closed_bodies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Django leaves a request's body open when it lets an error through, and Python complains."""
    made: list[Any] = []
    read_body = ASGIHandler.read_body

    async def read_and_keep(self: Any, receive: Any) -> Any:
        made.append(await read_body(self, receive))
        return made[-1]

    monkeypatch.setattr(ASGIHandler, "read_body", read_and_keep)
    yield
    for body in made:
        body.close()


@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_what_a_view_raises_django_answers_and_logs(
    prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with talking() as (site, wire):
        answer = await wire.request("GET", f"{prefix}/fails")
        assert (answer.status, answer["content-type"]) == (500, "text/html; charset=utf-8")
        assert f"Internal Server Error: {prefix}/fails" in caplog.messages
        assert site.alarms.messages == []
        assert await is_usable(wire)


@pytest.mark.usefixtures("closed_bodies")
@pytest.mark.parametrize("prefix", PREFIXES)
@asynchronous
async def test_what_django_lets_through_the_server_answers_and_logs(prefix: str) -> None:
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        async with talking() as (site, wire):
            answer = await wire.request("GET", f"{prefix}/fails")
            assert (answer.status, answer.body) == (500, b"internal error\n")
            assert site.alarms.messages == ["an application failed"]
            assert await is_usable(wire)


@pytest.mark.usefixtures("closed_bodies")
@asynchronous
async def test_a_stream_that_breaks_off_ends_the_connection() -> None:
    async with talking() as (site, wire):
        await wire.send(head(wire.host, "/shop/breaks-off"))
        with pytest.raises(Gone):
            await wire.answer()
        assert site.alarms.messages == ["an application failed"]


@asynchronous
async def test_a_view_is_cancelled_when_its_client_leaves() -> None:
    django_site.happened.clear()
    async with talking() as (site, wire):
        await wire.send(head(wire.host, "/shop/wait"))
        await eventually(lambda: django_site.happened == ["began"])
        wire.close()
        await eventually(lambda: django_site.happened == ["began", "ended"])
        assert site.alarms.messages == []


@pytest.mark.parametrize(("prefix", "status"), [("/shop", 500), ("/old", 403)])
@asynchronous
async def test_there_are_no_websockets_in_django(prefix: str, status: int) -> None:
    async with talking() as (_, wire):
        assert (await wire.upgrade(f"{prefix}/where/")).status == status
        assert await wire.is_closed()


# Socket.IO


@pytest.mark.parametrize("target", ["/shop/say", "/shop/say-async", "/old/say", "/old/say-async"])
@asynchronous
async def test_a_view_tells_a_room(target: str) -> None:
    async with talking() as (site, wire), await WebSocketClient.joined(site) as client:
        for number in range(3):
            assert (await wire.request("GET", f"{target}/{number}")).status == 204
        assert [await client.text() for _ in range(3)] == [
            f'42["said","{number}"]' for number in range(3)
        ]
