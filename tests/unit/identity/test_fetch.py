"""Where key sets come from, and what a bad place may do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hocket.errors import UsageError
from hocket.identity import fetch
from hocket.identity.fetch import fetcher
from hocket.identity.keyset import MAX_SET
from hocket.settings import load
from tests.support import asynchronous


@asynccontextmanager
async def answering(*parts: bytes, hang: bool = False) -> AsyncIterator[str]:
    """A server that says this to every request."""
    never = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
            if hang:
                await never.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        never.set()


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


@asynchronous
async def test_a_set_by_url() -> None:
    async with answering(OK, b'{"keys"', b": []}") as url:
        assert await fetcher(url)() == b'{"keys": []}'


@asynchronous
async def test_a_redirect_is_not_followed() -> None:
    async with answering(OK, b'{"keys": []}') as elsewhere:
        redirect = f"HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n"
        async with answering(redirect.encode()) as url:
            with pytest.raises(ValueError, match="answered 302"):
                await fetcher(url)()


@asynchronous
async def test_a_set_without_end() -> None:
    async with answering(OK, *[b"x" * 65_536] * 64, hang=True) as url:
        with pytest.raises(ValueError, match=f"at most {MAX_SET} bytes"):
            await fetcher(url)()


@asynchronous
async def test_a_place_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.05)
    for parts in ((), (OK,), (OK, b'{"keys"')):
        async with answering(*parts, hang=True) as url:
            with pytest.raises(TimeoutError):
                await fetcher(url)()


@asynchronous
async def test_a_set_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(UsageError, match="there is no file"):
        fetcher(str(path))
    path.write_bytes(b"{}")
    read = fetcher(str(path))
    assert await read() == b"{}"
    path.write_bytes(b"x" * (MAX_SET + 1))
    with pytest.raises(ValueError, match="at most"):
        await read()


@pytest.mark.parametrize("url", ["http://login.example/keys", "http://127.0.0.1.example/keys"])
def test_keys_come_over_https_unless_from_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="an https URL"):
        load({"token_jwks": url}, environ={}, file=None)


def test_urls_that_may_be() -> None:
    for url in ("https://login.example/keys", "http://127.0.0.1:8000/keys", "http://[::1]/keys"):
        assert load({"token_jwks": url}, environ={}, file=None).token_jwks == url
