"""WSGI applications, which run in threads: what breaks off must end there too."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, request

from hocket import App
from tests.support import Gone, Wire, asynchronous, eventually, head, serving

THREADS = 2
flask = Flask("flask")


@flask.post("/length")
def length() -> str:
    return str(len(request.get_data()))


def mounted(wsgi: Callable[..., Any]) -> App:
    app = App()
    app.mount_wsgi("/old", wsgi, threads=THREADS)
    return app


@asynchronous
async def test_a_chunked_body_is_read() -> None:
    async with serving(mounted(flask)) as site, await Wire.to(site) as wire:
        start = head(wire.host, "/old/length", "POST", "Transfer-Encoding: chunked")
        await wire.send(start + b"3\r\nabc\r\n0\r\n\r\n")
        assert (await wire.answer()).body == b"3"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"first\nsecond\nlast", [b"firs", b"t\n", b"second\n", b"last"]),
        (b"x" * 200_000 + b"\nlast", [b"xxxx", b"x" * 199_996 + b"\n", b"last"]),
        (b"", [b"", b""]),
    ],
    ids=["lines", "long", "nothing"],
)
@asynchronous
async def test_a_body_is_read_as_a_file_is(body: bytes, lines: list[bytes]) -> None:
    read: list[bytes] = []

    def reads(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        read.extend([file.readline(4), file.readline(), *file.readlines()])
        start_response("200 OK", [])
        return [file.read()]

    async with serving(mounted(reads)) as site, await Wire.to(site) as wire:
        assert (await wire.request("POST", "/old", body=body)).body == b""
        assert read == lines
        assert site.alarms.messages == []


@asynchronous
async def test_a_field_cannot_pass_for_another_that_a_proxy_sets() -> None:
    """`X_Remote_User` would be the variable of `X-Remote-User`."""

    def who(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ.get("HTTP_X_REMOTE_USER", "nobody").encode()]

    async with serving(mounted(who)) as site, await Wire.to(site) as wire:
        for fields, said in (
            (["X_Remote_User: admin"], b"nobody"),
            (["X_Remote_User: admin", "X-Remote-User: ada"], b"ada"),
        ):
            await wire.send(head(wire.host, "/old", "GET", *fields))
            assert (await wire.answer()).body == said


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@asynchronous
async def test_half_a_body_is_not_taken_for_a_whole_one(framing: str) -> None:
    read: list[object] = []
    reading = threading.Event()

    def reads(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        reading.set()
        try:
            read.append(environ["wsgi.input"].read())
        except OSError as error:
            read.append(type(error))
        start_response("200 OK", [])
        return [b""]

    async with serving(mounted(reads)) as site:
        wire = await Wire.to(site)
        await wire.send(head(wire.host, "/old", "POST", framing) + b"3\r\nabc\r\n")
        await eventually(reading.is_set)
        wire.close()
        await eventually(lambda: read == [ConnectionError])
        assert site.alarms.messages == []


@asynchronous
async def test_who_says_no_more_hears_what_it_asked_for() -> None:
    gate = threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        gate.wait()
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(), b" and more"]

    async with serving(mounted(slow)) as site, await Wire.to(site) as wire:
        await wire.send(head(wire.host, "/old", "POST", "Content-Length: 3") + b"abc")
        wire.end_sending()
        await eventually(lambda: any(stream.ending for stream in site.worker.http.streams()))
        gate.set()
        assert (await wire.answer()).body == b"abc and more"
        assert await wire.is_closed()
        assert site.alarms.messages == []


@pytest.mark.parametrize("how", ["leaves", "is told too much"])
@asynchronous
async def test_a_response_that_cannot_go_on_frees_its_thread(how: str) -> None:
    ended: list[bool] = []

    def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        fields = [("Content-Length", "100000")] if how == "is told too much" else []
        start_response("200 OK", fields)
        try:
            while True:
                yield bytes(65_536)
        finally:
            ended.append(True)

    async with serving(mounted(endless)) as site:
        for number in range(1, THREADS + 2):
            wire = await Wire.to(site)
            await wire.send(head(wire.host, "/old"))
            await wire.up_to(b"\r\n\r\n")
            if how == "leaves":
                wire.reset()
            else:
                with pytest.raises(Gone):
                    await wire.exactly(1_000_000)
            await eventually(lambda number=number: len(ended) == number)  # type: ignore[misc]
        assert len(site.alarms.messages) == (0 if how == "leaves" else THREADS + 1)


@asynchronous
async def test_who_writes_to_nobody_ends() -> None:
    ended: list[bool] = []

    def writes(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            while True:
                write(bytes(65_536))
        finally:
            ended.append(True)

    async with serving(mounted(writes)) as site:
        for number in range(1, THREADS + 2):
            wire = await Wire.to(site)
            await wire.send(head(wire.host, "/old"))
            await wire.up_to(b"\r\n\r\n")
            wire.reset()
            await eventually(lambda number=number: len(ended) == number)  # type: ignore[misc]
        assert site.alarms.messages == []


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("before", 500, b"sorry"),
        ("after nothing", 500, b"sorry"),
        ("after a part", 200, None),
        ("twice", 500, None),
        ("never", 500, None),
    ],
)
@asynchronous
async def test_an_error_replaces_a_response_until_it_has_begun(
    how: str, status: int, said: bytes | None
) -> None:
    def fails(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if how == "never":
            return
        start_response("200 OK", [("X-First", "1")])
        if how == "after nothing":
            yield b""
        if how == "after a part":
            yield b"part"
        try:
            raise KeyError("failed")
        except KeyError:
            start_response("500 Sorry", [], None if how == "twice" else sys.exc_info())
        yield b"sorry"

    async with serving(mounted(fails)) as site, await Wire.to(site) as wire:
        await wire.send(head(wire.host, "/old"))
        if how == "after a part":
            with pytest.raises(Gone):
                await wire.answer()
        else:
            answer = await wire.answer()
            assert answer.status == status
            assert said is None or answer.body == said
            assert "x-first" not in dict(answer.fields)
        assert len(site.alarms.messages) == (said is None)
