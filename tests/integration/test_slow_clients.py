"""Clients that do not take what they are sent: what waits for them is bounded, they are ended with
`slow-consumer`, and nobody else notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hocket import App, Socket
from hocket.transport.stream import HttpStream
from tests.support import (
    PING,
    Gone,
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    asynchronous,
    eventually,
    frame,
    head,
    serving,
)

OUTBOX = 100_000
PIECE = "x" * 20_000


class Crowd:
    """A server with a small outbox for each client, and somebody who reads."""

    def __init__(self, site: Site, reader: WebSocketClient, reasons: list[str]) -> None:
        self.site = site
        self.reader = reader
        self.reasons = reasons

    def waiting(self) -> int:
        """The most bytes that wait in the server for one client."""
        outboxes = [one.outbox for one in self.site.worker.engine.connections.values()]
        return max([getattr(outbox, "size", 0) for outbox in outboxes])

    async def told(self, until: int = 1_000) -> None:
        """Tell everybody something, and again, until somebody is ended for it; the reader hears all
        of it.
        """
        for told in range(until):
            self.site.app.emit("news", told, PIECE)
            assert await self.reader.text() == f'42["news",{told},"{PIECE}"]'
            assert self.waiting() <= OUTBOX + 2 * len(PIECE)
            if self.reasons:
                return
        raise AssertionError("a client that never reads was never ended")


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    app = App(max_outbox=OUTBOX)
    reasons: list[str] = []

    @app.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        reasons.append(reason)

    @app.get("/big")
    def big() -> bytes:
        return bytes(50_000)

    async with serving(app) as site, await WebSocketClient.joined(site) as reader:
        yield Crowd(site, reader, reasons)
        await eventually(lambda: site.open_files == 1)
        assert site.sessions == 1
        assert site.alarms.messages == []


@asynchronous
async def test_who_never_reads_a_websocket() -> None:
    async with crowd() as them:
        sloth = await WebSocketClient.to(them.site, receive_buffer=4096)
        await sloth.upgrade("/socket.io/?EIO=4&transport=websocket")
        await sloth.say("40")
        await eventually(lambda: len(them.site.worker.hub.namespaces["/"].sockets) == 2)
        await them.told()
        assert them.reasons == ["slow-consumer"]
        with pytest.raises(ConnectionResetError):
            await sloth.rest()
        sloth.close()


@asynchronous
async def test_who_reads_what_is_larger_than_all_bounds_is_not_slow() -> None:
    """And what comes behind it at once."""
    async with crowd() as them:
        for number in range(3):
            them.site.app.emit("large", "x" * 5_000_000)
            them.site.app.emit("small", number)
            assert len(await them.reader.text()) > 5_000_000
            assert await them.reader.text() == f'42["small",{number}]'
        assert them.reasons == []


@asynchronous
async def test_the_log_tells_of_slow_clients(caplog: pytest.LogCaptureFixture) -> None:
    async with crowd() as them:
        sloth = await PollingClient.opened(them.site)
        assert (await sloth.post("40")).body == b"ok"
        await them.told()
        said = "disconnected as slow consumers: 1 clients, for each of which over 100000 bytes"
        assert said in caplog.text


@asynchronous
async def test_who_never_polls() -> None:
    async with crowd() as them:
        sloth = await PollingClient.opened(them.site)
        assert (await sloth.post("40")).body == b"ok"
        assert (await sloth.hear())[0].startswith("40")
        await them.told()
        assert them.reasons == ["slow-consumer"]
        assert (await sloth.post("3")).status == 400


@asynchronous
async def test_who_pings_and_never_reads_the_pongs() -> None:
    async with crowd() as them:
        sloth = await WebSocketClient.to(them.site, receive_buffer=4096)
        await sloth.upgrade("/socket.io/?EIO=4&transport=websocket")
        await sloth.say("40")
        pings = frame(PING, b"p" * 125) * 1_000
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
            for _ in range(1_000):
                await sloth.send(pings)
                assert them.waiting() <= OUTBOX + len(pings)
        sloth.close()
        await eventually(lambda: them.reasons == ["slow-consumer"])


@asynchronous
async def test_who_asks_by_http_and_never_reads_the_answers() -> None:
    """A hundred requests in a row, 50 kB each: they are read as their answers are."""
    async with crowd() as them:
        sloth = await Wire.to(them.site, receive_buffer=4096)
        await sloth.send(head(them.site.host, "/big") * 100)
        await eventually(lambda: http_backlog(them.site) > 0)
        await them.reader.say("3")
        for _ in range(20):
            await asyncio.sleep(0.005)  # whatever it would still do, it does now
            assert http_backlog(them.site) <= OUTBOX
        for _ in range(100):
            assert len((await sloth.answer()).body) == 50_000
        sloth.close()


def http_backlog(site: Site) -> int:
    """Bytes of answers that wait in the server."""
    ends = [end for end in site.worker.reactor._table.values() if isinstance(end, HttpStream)]
    return sum(end.backlog.size for end in ends if end.backlog is not None)


@asynchronous
async def test_who_takes_a_long_answer_slowly_gets_all_of_it() -> None:
    """However long a connection may rest: it does not. Who takes nothing is let go."""
    app = App()

    @app.get("/big")
    def big() -> bytes:
        return bytes(12_000_000)

    async with serving(app, request_timeout=1.6, keep_alive=0.1) as site:
        slow, sloth = [await Wire.to(site, receive_buffer=4096) for _ in range(2)]
        for wire in (slow, sloth):
            await wire.send(head(site.host, "/big"))
        await slow.up_to(b"\r\n\r\n")
        for _ in range(4):
            await slow.exactly(3_000_000)
            await asyncio.sleep(0.5)  # longer than a connection may rest, shorter than it may take
        await eventually(lambda: http_backlog(site) == 0)
        with pytest.raises((Gone, ConnectionResetError)):
            await sloth.exactly(13_000_000)
        slow.close()
        sloth.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@asynchronous
async def test_who_is_sent_much_is_not_slow_if_the_sender_waits(transport: str) -> None:
    """More than the kernel and the outbox hold, to a client that takes it as it can."""
    app = App(max_outbox=OUTBOX)
    reasons: list[str] = []
    app.on("disconnect")(lambda socket, reason: reasons.append(reason))
    pieces = 300

    @app.on("history")
    async def history(socket: Socket) -> int:
        for number in range(pieces):
            socket.emit("piece", number, PIECE)
            await socket.drain()
        return pieces

    async with serving(app) as site:
        if transport == "polling":
            client = await PollingClient.opened(site)
            await client.post("40")
            await client.hear()
            await client.post('421["history"]')
            heard: list[str] = []
            while not heard or heard[-1] != f"431[{pieces}]":
                heard += await client.hear()
        else:
            async with await WebSocketClient.joined(site) as reader:
                await reader.say('421["history"]')
                heard = [await reader.text() for _ in range(pieces + 1)]
        assert heard[:-1] == [f'42["piece",{number},"{PIECE}"]' for number in range(pieces)]
        assert heard[-1] == f"431[{pieces}]"
        assert reasons == []


@asynchronous
async def test_a_sender_waits_for_nobody_who_has_gone() -> None:
    app = App(max_outbox=1 << 30)
    drained: list[bool] = []

    @app.on("history")
    async def history(socket: Socket) -> None:
        for _ in range(1_000):
            socket.emit("piece", PIECE)
        await socket.drain()
        drained.append(socket.connected)

    async with serving(app) as site:
        client = await WebSocketClient.joined(site)
        await client.say('42["history"]')
        await eventually(lambda: site.worker.hub.dispatch.tasks != set())
        assert drained == []
        client.close()
        await eventually(lambda: drained == [False])


@asynchronous
async def test_nothing_can_be_waited_for_in_a_connect_handler() -> None:
    app, said = App(), list[str]()

    @app.on("connect")
    async def connect(socket: Socket, auth: dict[str, str]) -> None:
        try:
            await socket.drain()
        except RuntimeError as error:
            said.append(str(error))

    async with serving(app) as site, await WebSocketClient.joined(site):
        assert said == ["nothing leaves before the connect handler has returned"]


@asynchronous
async def test_a_connect_handler_may_emit_as_much_at_once_as_another() -> None:
    app = App(max_outbox=OUTBOX)
    app.on("connect")(lambda socket, auth: socket.emit("history", "x" * (3 * OUTBOX)))
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        assert len(await client.text()) > 3 * OUTBOX
