"""HTTP/2 connections to servers that use all that the protocol allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from h2.settings import SettingCodes, Settings

from hocket.providers.http2 import UnsentError
from hocket.providers.pool import Pool
from tests.support import asynchronous, eventually

HEADERS = ((":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/"))
OK = [(":status", "200")]


class Server(asyncio.Protocol):
    """What `on` does with what comes; `first` are its settings."""

    def __init__(self, first: dict[SettingCodes, int], on: Callable[[Server, Any], None]) -> None:
        self._first, self._on = first, on
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.reset: list[int] = []
        self.acknowledged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.h2.local_settings = Settings(client=False, initial_values=self._first)
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self.acknowledged |= isinstance(event, h2.events.SettingsAcknowledged)
            if isinstance(event, h2.events.StreamReset):
                self.reset.append(event.stream_id)
            self._on(self, event)
        self.flush()

    def flush(self) -> None:
        self._transport.write(self.h2.data_to_send())

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def serving(
    first: dict[SettingCodes, int], on: Callable[[Server, Any], None]
) -> AsyncIterator[tuple[Pool, list[Server]]]:
    """A pool of one connection to it, and the connections that it has seen."""
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(first, on))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], None, 1)
    try:
        yield pool, made
    finally:
        await pool.close()
        server.close()
        for each in made:
            each.close()


def answer(server: Server, event: Any) -> None:
    if isinstance(event, h2.events.StreamEnded):
        server.h2.send_headers(event.stream_id, OK, end_stream=True)


@asynchronous
async def test_answers_before_the_requests_end_use_up_no_streams() -> None:
    """A server that refuses by a header never reads the body, nor opens the window for it."""

    def early(server: Server, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            server.h2.send_headers(event.stream_id, OK, end_stream=True)

    few = {SettingCodes.MAX_CONCURRENT_STREAMS: 5, SettingCodes.INITIAL_WINDOW_SIZE: 10}
    async with serving(few, early) as (pool, made):
        for _ in range(20):
            assert (await pool.request(HEADERS, b"x" * 100)).status == 200
        requests = [pool.request(HEADERS, b"x" * 100) for _ in range(20)]
        assert {each.status for each in await asyncio.gather(*requests)} == {200}
        (server,) = made
        assert len(server.reset) >= 35


@asynchronous
async def test_a_server_that_takes_no_streams_yet_is_waited_for() -> None:
    async with serving({SettingCodes.MAX_CONCURRENT_STREAMS: 0}, answer) as (pool, made):
        asking = [asyncio.ensure_future(pool.request(HEADERS, b"x")) for _ in range(3)]
        await eventually(lambda: made and made[0].acknowledged)
        made[0].h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        made[0].flush()
        assert {each.status for each in await asyncio.gather(*asking)} == {200}
        assert len(made) == 1


@asynchronous
async def test_a_request_that_cannot_begin_leaves_nothing_behind() -> None:
    async with serving({}, answer) as (pool, _):
        with pytest.raises(UnsentError, match="ProtocolError"):
            await pool.request(HEADERS[:3], b"x")
        assert all(not each._streams for each in pool._connections)
        assert (await pool.request(HEADERS, b"x")).status == 200
