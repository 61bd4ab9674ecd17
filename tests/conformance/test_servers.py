"""`python -m hocket.testing.conformance`: the servers as the public suites start them."""

from __future__ import annotations

import signal

import pytest

from hocket.testing.conformance import SERVERS
from tests.integration.programs import hocket_program
from tests.support import BINARY, TEXT, Wire, asynchronous, frame


@pytest.mark.parametrize("server", SERVERS)
def test_it_says_where_it_listens_and_stops_when_told(server: str) -> None:
    with hocket_program("-m", "hocket.testing.conformance", server, "--port", "0") as program:
        assert program.url().startswith("http://127.0.0.1:")
        program.signal(signal.SIGTERM)
        assert program.status() == 0
        assert program.errors() == []


@pytest.mark.parametrize("path", ["/", "/any/path?at=all"])
def test_the_websocket_echo(path: str) -> None:
    with hocket_program("-m", "hocket.testing.conformance", "websocket", "--port", "0") as program:
        echo_on(program.url(), path)


@asynchronous
async def echo_on(url: str, path: str) -> None:
    async with await Wire.to(url) as wire:
        assert (await wire.upgrade(path)).status == 101
        await wire.send(frame(TEXT, b"hel", fin=False) + frame(0, b"lo"))
        assert await wire.frame() == (TEXT, b"hello")
        await wire.send(frame(BINARY, bytes(100_000)))
        assert await wire.frame() == (BINARY, bytes(100_000))
        await wire.send(frame(8, (4321).to_bytes(2, "big")))
        assert await wire.close_code() == 4321
