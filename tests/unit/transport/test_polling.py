"""Polling and its upgrade, on real sockets and a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hocket import App, Socket
from hocket.hub.target import Target
from tests.support import (
    TEXT,
    PollingClient,
    Site,
    Wire,
    asynchronous,
    eventually,
    frame,
    head,
    serving,
)


@asynccontextmanager
async def polled(app: App | None = None) -> AsyncIterator[tuple[Site, PollingClient]]:
    async with serving(app or App()) as site:
        client = await PollingClient.opened(site)
        assert (await client.post("40")).body == b"ok"
        assert (await client.hear())[0].startswith("40")
        yield site, client


def only_socket(site: Site) -> Socket:
    assert site.app.hub is not None
    nsp = site.app.hub.namespace("/")
    assert nsp is not None
    (socket,) = nsp.sockets.values()
    return socket


async def waiting_poll(site: Site, client: PollingClient) -> Wire:
    """A poll that the server has and does not answer yet."""
    wire = await Wire.to(site)
    await wire.send(head(site.host, client.target))
    outbox = only_socket(site).connection.outbox
    await eventually(lambda: getattr(outbox, "poll", None) is not None)
    return wire


@asynchronous
async def test_all_that_is_emitted_in_one_turn_leaves_in_one_answer() -> None:
    async with polled() as (site, client), await waiting_poll(site, client) as wire:
        for number in range(3):
            only_socket(site).emit("e", number)
        assert (await wire.answer()).body == b'42["e",0]\x1e42["e",1]\x1e42["e",2]'


@asynchronous
async def test_volatile_events_are_dropped_while_no_poll_waits() -> None:
    async with polled() as (site, client):
        socket = only_socket(site)
        socket.volatile.emit("lost")
        socket.emit("kept")
        assert await client.hear() == ['42["kept"]']
        async with await waiting_poll(site, client) as wire:
            socket.volatile.emit("now")
            assert (await wire.answer()).body == b'42["now"]'


@asynchronous
async def test_who_is_disconnected_between_two_polls_is_told_at_the_next() -> None:
    async with polled() as (site, client):
        only_socket(site).disconnect(close=True)
        assert [(await client.poll()).body for _ in range(2)] == [b"41", b"1"]
        assert (await client.poll()).status == 400


@asynchronous
async def test_who_does_not_poll_is_a_slow_consumer() -> None:
    reasons: list[str] = []
    app = App(max_outbox=10_000)
    app.on("disconnect")(lambda socket, reason: reasons.append(reason))
    async with polled(app) as (site, client):
        socket = only_socket(site)
        for _ in range(30):
            socket.emit("e", "x" * 1_000)
        await eventually(lambda: reasons)
        assert reasons == ["slow-consumer"]
        assert (await client.poll()).status == 400


@asynchronous
async def test_an_upgrade_keeps_the_order_and_loses_nothing() -> None:
    async with polled() as (site, client):
        socket = only_socket(site)
        for number in range(3):
            socket.emit("e", number)
        async with await Wire.to(site) as wire:
            target = client.target.replace("polling", "websocket")
            assert (await wire.upgrade(target)).status == 101
            await wire.send(frame(TEXT, b"2probe"))
            assert await wire.frame() == (TEXT, b"3probe")
            socket.emit("e", 3)
            await wire.send(frame(TEXT, b"5") + frame(TEXT, b'421["unhandled"]'))
            for number in range(4):
                assert await wire.frame() == (TEXT, b'42["e",%d]' % number)
            Target(socket.nsp).emit("e", 4)
            assert await wire.frame() == (TEXT, b'42["e",4]')
            assert socket.transport == "websocket"
            assert (await client.poll()).status == 400


@pytest.mark.parametrize("busy", [True, False], ids=["something came", "nothing came"])
@asynchronous
async def test_a_poll_is_ended_with_noop_only_if_nothing_else_comes(busy: bool) -> None:
    async with polled() as (site, client), await Wire.to(site) as wire:
        assert (await wire.upgrade(client.target.replace("polling", "websocket"))).status == 101
        async with await waiting_poll(site, client) as poll:
            await wire.send(frame(TEXT, b"2probe"))
            assert await wire.frame() == (TEXT, b"3probe")
            if busy:
                only_socket(site).emit("e")
            assert (await poll.answer()).body == (b'42["e"]' if busy else b"6")


@asynchronous
async def test_a_second_upgrade_is_let_in_and_shown_out() -> None:
    async with polled() as (site, client):
        target = client.target.replace("polling", "websocket")
        async with await Wire.to(site) as first, await Wire.to(site) as second:
            assert (await first.upgrade(target)).status == 101
            assert (await second.upgrade(target)).status == 101
            opcode, _ = await second.frame()
            assert opcode == 8
            await first.send(frame(TEXT, b"2probe"))
            assert await first.frame() == (TEXT, b"3probe")


@asynchronous
async def test_a_session_that_ends_takes_its_probe_with_it() -> None:
    async with polled() as (site, client), await Wire.to(site) as wire:
        assert (await wire.upgrade(client.target.replace("polling", "websocket"))).status == 101
        await asyncio.sleep(0)
        assert (await client.post("1")).status == 200
        assert await wire.close_code() == 1000
        assert site.sessions == 0


@asynchronous
async def test_an_answer_holds_no_more_packets_than_every_client_reads() -> None:
    async with polled() as (site, client):
        for number in range(40):
            only_socket(site).emit("e", number)
        only_socket(site).emit("b", b"1", b"2")
        heard = [await client.hear() for _ in range(3)]
        assert [len(each) for each in heard] == [16, 16, 8 + 3]
        assert [packet for each in heard for packet in each][:40] == [
            f'42["e",{number}]' for number in range(40)
        ]


@asynchronous
async def test_the_last_answer_holds_everything() -> None:
    async with polled() as (site, client):
        for number in range(40):
            only_socket(site).emit("e", number)
        only_socket(site).disconnect(close=True)
        assert len(await client.hear()) == 41
