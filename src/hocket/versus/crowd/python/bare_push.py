"""The limit for Python: the same requests by the same HTTP libraries in the shortest loop there is.
Nothing is encoded, signed or checked but the status.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import aiohttp
import h2.config
import h2.connection
import h2.events
from sending import TEXT, arguments, measure, run

BODY = json.dumps({"message": {"token": "t", "notification": TEXT}}).encode()


async def over_http1(kind: str, url: str, count: int, tasks: int) -> None:
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=tasks)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(number: int) -> None:
            # As receivers have it: a URL for each.
            where = f"{url}/hook/{number % 1000}" if kind == "webhook" else f"{url}/hook"
            async with session.post(where, data=BODY, headers=headers) as response:
                assert response.status == 200
                await response.read()

        await measure(send, count, tasks)


class Connection(asyncio.Protocol):
    """An HTTP/2 connection."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.waiting: dict[int, asyncio.Future[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                assert dict(event.headers)[":status"] == "200"
            elif isinstance(event, h2.events.StreamEnded):
                self.waiting.pop(event.stream_id).set_result(None)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    async def post(self, headers: list[tuple[str, str]], body: bytes) -> None:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers)
        self.h2.send_data(stream, body, end_stream=True)
        self.flush()
        self.waiting[stream] = asyncio.get_running_loop().create_future()
        await self.waiting[stream]


async def over_http2(kind: str, url: str, count: int, tasks: int) -> None:
    parts = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, parts.hostname, parts.port
    )
    headers = [
        *((":method", "POST"), (":scheme", "http"), (":authority", parts.netloc)),
        *((":path", "/3/device/" + "ab" * 32), ("authorization", "bearer " + "x" * 180)),
        *(("apns-topic", "x.y"), ("apns-push-type", "alert"), ("apns-priority", "10")),
    ]

    async def send(number: int) -> None:
        await connection.post(headers, BODY)

    await measure(send, count, tasks)


async def main() -> None:
    kind, url, count, tasks = arguments()
    await (over_http2 if kind == "apns" else over_http1)(kind, url, count, tasks)


run(main)
