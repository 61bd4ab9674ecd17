"""Applications of other frameworks on the same port."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hocket import App
from hocket.errors import UsageError
from tests.integration import mounted_app
from tests.integration.programs import program
from tests.support import Gone, Site, WebSocketClient, Wire, asynchronous, eventually, head, serving

MOUNTED = [sys.executable, str(Path(__file__).with_name("mounted_app.py"))]
PROJECT = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
GIGABYTE = 1 << 30
BOUND = 150  # MB that the server may take at most while a gigabyte goes through it; it is about 60


@asynccontextmanager
async def mounting(asgi: Any, path: str = "/", **settings: Any) -> AsyncIterator[Site]:
    app = App(**settings)
    app.mount(path, asgi)
    async with serving(app) as site:
        yield site


async def ask(wire: Wire, site: Site, target: str, *fields: str, method: str = "GET") -> Any:
    await wire.send(head(site.host, target, method, *fields))
    return await wire.answer(method)


# Frameworks


@asynchronous
async def test_who_answers_what_on_one_connection() -> None:
    """Own routes, FastAPI, Flask, and what nobody has: one after the other, each by itself."""
    async with serving(mounted_app.app) as site, await Wire.to(site) as wire:
        for target, status, body in (
            ("/", 200, b"home"),
            ("/api/who/7?a=%20b", 200, b'[7,"open","/api/who/7","127.0.0.1","a=%20b"]'),
            ("/api/ours", 200, b"ours"),
            ("/api/who/x", 422, None),
            ("/api/nothing", 404, b'{"detail":"Not Found"}'),
            ("/old/where?q=1", 200, b"/old /where 1"),
            ("/older/where", 404, b"not found\n"),
            ("/nothing", 404, b"not found\n"),
        ):
            answer = await ask(wire, site, target)
            assert answer.status == status, target
            assert body is None or answer.body == body


@asynchronous
async def test_a_connection_that_changes_its_mind() -> None:
    """Page, polling, page, another user's polling, own route, then the upgrade of the first."""
    async with serving(mounted_app.app) as site, await Wire.to(site) as wire:
        assert (await ask(wire, site, "/api/who/1")).status == 200
        sids = []
        for _ in range(2):
            opened = await ask(wire, site, "/socket.io/?EIO=4&transport=polling")
            sids.append(json.loads(opened.body[1:])["sid"])
            target = f"/socket.io/?EIO=4&transport=polling&sid={sids[-1]}"
            await wire.send(head(site.host, target, "POST", "Content-Length: 2") + b"40")
            assert (await wire.answer()).body == b"ok"
            assert (await ask(wire, site, target)).body.startswith(b"40")
            assert (await ask(wire, site, "/api/who/2")).status == 200
        assert (await ask(wire, site, "/api/say/kitchen/hello")).status == 200
        for sid in sids:
            poll = await ask(wire, site, f"/socket.io/?EIO=4&transport=polling&sid={sid}")
            assert poll.body == b'42["said","hello"]'
        assert (await ask(wire, site, "/")).body == b"home"
        client = WebSocketClient.__new__(WebSocketClient)
        client.__dict__.update(wire.__dict__)
        await client.upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sids[0]}")
        await client.say("2probe")
        assert await client.text() == "3probe"
        await client.say("5")
        await eventually(lambda: any(
            each.transport.name == "websocket" for each in site.worker.engine.connections.values()
        ))  # fmt: skip
        site.app.to("kitchen").emit("said", "again")
        assert await client.text() == '42["said","again"]'


@asynchronous
async def test_lifespans_run_once_around_everything() -> None:
    mounted_app.happened.clear()
    async with serving(mounted_app.app):
        assert mounted_app.happened == ["up"]
    assert mounted_app.happened == ["up", "down"]


@asynchronous
async def test_an_application_that_cannot_start_keeps_the_server_from_starting() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(UsageError, match="mounted at / failed to start: no database"):
        async with mounting(fails):
            pass


@asynchronous
async def test_files_with_ranges_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    files = Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path))])
    async with mounting(files, "/files") as site, await Wire.to(site) as wire:
        whole = await ask(wire, site, "/files/a.txt")
        assert (whole.status, whole.body, whole["accept-ranges"]) == (200, b"0123456789", "bytes")
        part = await ask(wire, site, "/files/a.txt", "Range: bytes=2-4")
        assert (part.status, part.body) == (206, b"234")
        assert part["content-range"] == "bytes 2-4/10"
        beyond = await ask(wire, site, "/files/a.txt", "Range: bytes=20-")
        assert beyond.status == 416
        same = await ask(wire, site, "/files/a.txt", f"If-None-Match: {whole['etag']}")
        assert (same.status, same.body) == (304, b"")
        only_head = await ask(wire, site, "/files/a.txt", method="HEAD")
        assert (only_head.status, only_head["content-length"], only_head.body) == (200, "10", b"")
        assert (await ask(wire, site, "/files/../a.txt")).status == 404


@asynchronous
async def test_files_that_are_not_there_are_404_without_starlette_around_them(
    tmp_path: Path,
) -> None:
    """StaticFiles by itself raises what only a Starlette application would answer."""
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    async with mounting(StaticFiles(directory=tmp_path), "/files") as site:
        async with await Wire.to(site) as wire:
            for target in ("/files/b.txt", "/files/%2e%2e/a.txt", "/files/", "/files/a.txt%00"):
                assert (await ask(wire, site, target)).status == 404, target
            refused = await ask(wire, site, "/files/a.txt", "Content-Length: 0", method="POST")
            assert (refused.status, refused.body) == (405, b"Method Not Allowed\n")
            assert (await ask(wire, site, "/files/a.txt")).status == 200
        assert not site.alarms.messages


@asynchronous
async def test_a_path_is_found_however_it_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    async with (
        mounting(StaticFiles(directory=tmp_path), "/für alle") as site,
        await Wire.to(site) as wire,
    ):
        for target in ("/f%C3%BCr%20alle/a.txt", "/%66%c3%bcr%20alle/%61.txt"):
            assert (await ask(wire, site, target)).body == b"0123456789", target
        assert (await ask(wire, site, "/f%C3%BCr%20allen/a.txt")).status == 404


# Large bodies


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with program(*MOUNTED, env={"HOCKET_PORT": "0", **PROJECT}) as server:
        yield server.url()
        status = Path(f"/proc/{server.process.pid}/status")
        if status.exists():
            most = int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) // 1024  # type: ignore[index]
            assert most < BOUND, f"the server took {most} MB"


@asynchronous
async def test_a_gigabyte_up(url: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(GIGABYTE >> 18):
            yield bytes(1 << 18)

    async with aiohttp.ClientSession() as session:
        async with session.post(url + "/api/count", data=content()) as answer:
            assert await answer.json() == GIGABYTE
        async with session.post(url + "/old/length", data=io.BytesIO(bytes(3_000_000))) as answer:
            assert await answer.text() == "3000000"


@asynchronous
async def test_a_gigabyte_down(url: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/zeros/{GIGABYTE >> 16}") as answer,
    ):
        assert sum([len(part) async for part in answer.content.iter_any()]) == GIGABYTE


# Bodies, as an application reads them


@asynchronous
async def test_a_client_is_read_from_no_faster_than_the_application_reads() -> None:
    asked = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await asked.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"%d" % size})

    async with mounting(slow) as site, await Wire.to(site) as wire:
        size = 30_000_000
        sending = asyncio.create_task(
            wire.send(head(site.host, "/", "POST", f"Content-Length: {size}") + bytes(size))
        )
        await eventually(lambda: site.worker.reactor._held)
        assert site.worker.reactor.bytes_in < 1_000_000
        asked.set()
        await sending
        assert (await wire.answer()).body == b"30000000"


@asynchronous
async def test_an_early_answer_to_an_upload_arrives() -> None:
    async with serving(mounted_app.app) as site, await Wire.to(site) as wire:
        start = head(site.host, "/api/refuse", "POST", "Content-Length: 1000000")
        await wire.send(start + bytes(10_000))
        answer = await wire.answer()
        assert (answer.status, answer["connection"]) == (413, "close")
        assert await wire.is_closed()


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does not read"])
@asynchronous
async def test_a_body_is_asked_for_when_it_is_read(reads: bool) -> None:
    target = "/api/count" if reads else "/api/who/1"
    async with serving(mounted_app.app) as site, await Wire.to(site) as wire:
        fields = ("Content-Length: 3", "Expect: 100-continue")
        await wire.send(head(site.host, target, "POST", *fields))
        if reads:
            assert (await wire.up_to(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            await wire.send(b"abc")
            assert (await wire.answer()).body == b"3"
        else:
            assert (await wire.answer()).status == 405


@asynchronous
async def test_a_body_that_drips_ends() -> None:
    async with (
        serving(mounted_app.app, request_timeout=0.2) as site,
        await Wire.to(site) as wire,
    ):
        await wire.send(head(site.host, "/api/count", "POST", "Content-Length: 1000") + b"x")
        began = time.monotonic()
        assert await wire.is_closed()
        assert time.monotonic() - began < 10


@asynchronous
async def test_a_broken_chunk_is_a_400_or_the_end_of_an_answer_under_way() -> None:
    begun: list[bool] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        if scope["path"] == "/answers":
            await send(start())
            await send(body(b"first", True))
        begun.append(True)
        while (await receive())["type"] != "http.disconnect":
            pass

    async with mounting(reads) as site:
        for count, path in enumerate(("/reads", "/answers"), 1):
            async with await Wire.to(site) as wire:
                fields = "Transfer-Encoding: chunked"
                await wire.send(head(site.host, path, "POST", fields) + b"3\r\nabc\r\n")
                await eventually(lambda count=count: len(begun) == count)  # type: ignore[misc]
                await wire.send(b"zz\r\n")
                if path == "/reads":
                    assert (await wire.answer()).status == 400
                assert not (await wire.rest()).endswith(b"0\r\n\r\n")
        assert site.alarms.messages == []


# Responses


def responding(*messages: dict[str, Any], fails: bool = False) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        for message in messages:
            await send(message)
        if fails:
            raise RuntimeError("on purpose")

    return application


def start(status: int = 200, *fields: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


LENGTH = (b"content-length", b"3")


@pytest.mark.parametrize(
    ("messages", "fails"),
    [
        ([], False),
        ([], True),
        ([start(200, (b"x", b"a\r\nset-cookie: b"))], False),
        ([start(200, (b"x y", b"a"))], False),
        ([start(200, (b"content-length", b"-1"))], False),
        ([body(b"x")], False),
        ([start(), start()], False),
        ([start(200, LENGTH)], False),
    ],
    ids=["nothing", "raises", "value", "name", "length", "body first", "twice", "no body"],
)
@asynchronous
async def test_what_is_no_response_is_a_500(messages: list[dict[str, Any]], fails: bool) -> None:
    async with mounting(responding(*messages, fails=fails)) as site, await Wire.to(site) as wire:
        answer = await ask(wire, site, "/")
        assert (answer.status, answer.body) == (500, b"internal error\n")
        assert (await ask(wire, site, "/")).status == 500  # on the same connection


@pytest.mark.parametrize(
    ("messages", "fails"),
    [
        ([start(200), body(b"abc", True)], True),
        ([start(200, LENGTH), body(b"abcd")], False),
        ([start(200, LENGTH), body(b"ab")], False),
    ],
    ids=["raises", "too long", "too short"],
)
@asynchronous
async def test_a_response_that_breaks_off_is_seen_to(
    messages: list[dict[str, Any]], fails: bool
) -> None:
    async with mounting(responding(*messages, fails=fails)) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/"))
        with pytest.raises(Gone):
            await wire.answer()


@pytest.mark.parametrize(
    ("messages", "method", "framing", "got"),
    [
        ([start(), body(b"ab", True), body(b"c")], "GET", "chunked", b"abc"),
        ([start(), body(b"ab", True), body(b"c")], "HEAD", "", b""),
        ([start(), body(b"abc")], "GET", "3", b"abc"),  # whole when it starts
        ([start(200, LENGTH), body(b"abc")], "GET", "3", b"abc"),
        ([start(200, LENGTH), body(b"abc")], "HEAD", "3", b""),
        ([start(204, LENGTH), body(b"")], "GET", "", b""),
        ([start(304), body(b"")], "GET", "", b""),
        ([start(299), body(b"", True), body(b"")], "GET", "chunked", b""),
    ],
)
@asynchronous
async def test_how_a_response_ends(
    messages: list[dict[str, Any]], method: str, framing: str, got: bytes
) -> None:
    async with mounting(responding(*messages)) as site, await Wire.to(site) as wire:
        for _ in range(2):  # and the connection goes on
            answer = await ask(wire, site, "/", method=method)
            assert answer.body == got
            assert answer["content-length"] + answer["transfer-encoding"] == framing
            assert answer["date"].endswith(" GMT")


@asynchronous
async def test_to_http_1_0_the_end_of_the_connection_is_the_end() -> None:
    parts = start(), body(b"ab", True), body(b"c")
    async with mounting(responding(*parts)) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/", "GET", "Connection: keep-alive", version="1.0"))
        assert (await wire.rest()).endswith(b"\r\n\r\nabc")


@asynchronous
async def test_a_client_that_leaves_is_noticed() -> None:
    seen: list[str] = []

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await receive()
        seen.append("asked")
        seen.append((await receive())["type"])
        try:
            await send(start())
        except OSError:
            seen.append("gone")

    async with mounting(waits) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/"))
        await eventually(lambda: seen == ["asked"])
        wire.close()
        await eventually(lambda: seen == ["asked", "http.disconnect", "gone"])
        assert site.alarms.messages == []


@asynchronous
async def test_who_says_no_more_hears_what_it_asked_for() -> None:
    """As `nc -N` does: also what is read of its request, and asked behind it, afterwards."""
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await gate.wait()
        message = await receive()
        await send(start())
        for part in (message["body"], bytes(100_000), b"end"):
            await send(body(part, True))
        await send(body(b""))

    async with mounting(slow, max_outbox=20_000) as site:
        for count in (1, 2):
            gate.clear()
            wire = await Wire.to(site, receive_buffer=4096)
            await wire.send((head(site.host, "/", "POST", "Content-Length: 3") + b"abc") * count)
            wire.end_sending()
            await eventually(lambda: any(stream.ending for stream in site.worker.http.streams()))
            gate.set()
            for _ in range(count):
                assert (await wire.answer()).body == b"abc" + bytes(100_000) + b"end"
            assert await wire.is_closed()
        await eventually(lambda: site.open_files == 0)
        assert site.alarms.messages == []


@pytest.mark.parametrize("feeds", [False, True])
@asynchronous
async def test_who_has_gone_is_not_kept_by_an_application_that_does_not_ask(feeds: bool) -> None:
    """Its end alone does not say that it hears nothing: a write does, or `request_timeout`."""
    begun, never, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        begun.set()
        try:
            await send(start())
            while feeds:
                await send(body(b"data: 1\n\n", True))
                await asyncio.sleep(0)
            await never.wait()
            await send(body(b"at last"))
        except ConnectionError:
            gone.set()

    async with mounting(silent, request_timeout=30.0 if feeds else 0.4) as site:
        wire = await Wire.to(site)
        await wire.send(head(site.host, "/"))
        await begun.wait()
        wire.close()
        await eventually(lambda: site.open_files == 0)
        never.set()
        await gone.wait()
        assert site.alarms.messages == []


@asynchronous
async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    sent: list[int] = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send(start())
        for number in range(400):
            await send(body(bytes(100_000), True))
            sent.append(number)
        await send(body(b""))

    async with mounting(large) as site:
        wire = await Wire.to(site, receive_buffer=10_000)
        await wire.send(head(site.host, "/"))
        await eventually(lambda: len(sent) > 5)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(sent) < 100  # of 40 MB at most what the kernel and the outbox hold
        assert len((await wire.answer()).body) == 40_000_000
        wire.close()


@asynchronous
async def test_a_feed_ends_with_its_client_and_what_is_to_follow_follows() -> None:
    """It waits for its next event, which may never come."""
    done: list[str] = []

    async def feed() -> AsyncIterator[str]:
        try:
            yield "data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            done.append("feed")

    async def follows(request: Any) -> StreamingResponse:
        return StreamingResponse(feed(), background=BackgroundTask(done.append, "follows"))

    async with mounting(Starlette(routes=[Route("/feed", follows)])) as site:
        wire = await Wire.to(site)
        await wire.send(head(site.host, "/feed"))
        await wire.up_to(b"data: 1")
        wire.close()
        await eventually(lambda: done == ["feed", "follows"])
        assert site.alarms.messages == []


@asynchronous
async def test_who_takes_nothing_of_an_answer_is_let_go() -> None:
    ended: list[bool] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send(start())
        try:
            while True:
                await send(body(bytes(100_000), True))
        finally:
            ended.append(True)

    async with mounting(endless, request_timeout=1.0) as site:
        sloth = await Wire.to(site, receive_buffer=4096)
        await sloth.send(head(site.host, "/"))
        await eventually(lambda: ended)
        sloth.close()
