"""Several workers are as one: what an app does in one of them reaches the clients of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from hocket import App, CallTimeout, Disconnected, Socket
from hocket.broker.messages import encode
from hocket.errors import Overloaded
from tests.integration.test_api import Client, client
from tests.support import (
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
    serving_together,
)


def make_app() -> App:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.user = auth.get("user", "")
        socket.data["shoes"] = auth.get("shoes")
        socket.join(*auth.get("rooms", []))

    @app.on("say")
    def say(socket: Socket, room: str, text: str) -> str:
        socket.to(room).emit("said", text)
        return "passed on"

    @app.on("tell everybody else")
    def tell(socket: Socket, text: str) -> None:
        socket.broadcast.emit("said", text)

    app.namespace("/admin")
    return app


@asynccontextmanager
async def two_with_clients(
    *auths: dict[str, Any], **settings: Any
) -> AsyncIterator[tuple[list[Site], list[Client]]]:
    """Two workers, and clients that take turns between them."""
    async with serving_together(make_app, **settings) as sites, _clients(sites, auths) as clients:
        yield sites, clients


@asynccontextmanager
async def _clients(
    sites: list[Site], auths: tuple[dict[str, Any], ...]
) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(client(sites[at % len(sites)], auth=auth))
            for at, auth in enumerate(auths)
        ]


async def sids(sites: list[Site]) -> set[str]:
    return {socket.id for socket in await sites[0].app.sockets()}


# Events


@asynchronous
async def test_an_event_reaches_the_clients_of_all_workers() -> None:
    async with two_with_clients({}, {}, {}) as (sites, clients):
        for site in sites:
            site.app.emit("news", 1, {"deep": b"\x00\xff"}, b"more")
        for one in clients:
            heard = [await one.hear(), await one.hear()]
            assert heard == [("news", 1, {"deep": b"\x00\xff"}, b"more")] * 2


@asynchronous
async def test_rooms_span_workers_and_the_sender_gets_nothing() -> None:
    auths = [{"rooms": ["blue"]}, {"rooms": ["blue", "red"]}, {"rooms": ["red"]}, {}]
    async with two_with_clients(*auths) as (sites, (blue, both, red, none)):
        assert await blue.call("say", ("blue", "hi")) == "passed on"
        assert await both.hear() == ("said", "hi")
        sites[0].app.to("red", "blue").except_("red").emit("only", "blue")
        assert await blue.hear() == ("only", "blue")
        await none.emit("tell everybody else", "bye")
        for one in (blue, both, red):
            assert await one.hear() == ("said", "bye")
        await asyncio.sleep(0.05)
        assert [one.heard.qsize() for one in (blue, both, red, none)] == [0, 0, 0, 0]


@asynchronous
async def test_a_socket_is_reached_by_its_id_from_any_worker() -> None:
    async with two_with_clients({}, {}) as (sites, clients):
        for site in sites:
            for one in clients:
                site.app.to(one.get_sid()).emit("you", one.get_sid())
        for one in clients:
            assert [await one.hear(), await one.hear()] == [("you", one.get_sid())] * 2


@asynchronous
async def test_local_stays_here_and_other_namespaces_hear_nothing() -> None:
    async with two_with_clients({}, {}) as (sites, clients):
        sites[0].app.local.emit("here")
        sites[0].app.namespace("/admin").emit("elsewhere")
        sites[0].app.emit("everywhere")
        assert await clients[0].hear() == ("here",)
        assert await clients[0].hear() == ("everywhere",)
        assert await clients[1].hear() == ("everywhere",)


@asynchronous
async def test_order_holds_from_one_worker_to_a_client_of_another() -> None:
    async with two_with_clients({}, {"rooms": ["room"]}) as (sites, (_, there)):
        app = sites[0].app
        for number in range(300):
            (app if number % 3 else app.to("room")).emit("count", number)
        assert [(await there.hear())[1] for _ in range(300)] == list(range(300))


@asynchronous
async def test_what_joins_from_afar_gets_what_is_sent_after_and_nothing_from_before() -> None:
    async with two_with_clients({}, {}) as (sites, (_, there)):
        app = sites[0].app
        app.to("late").emit("before")
        app.to(there.get_sid()).join("late", "later")
        app.to("late").emit("after")
        app.to("later").leave("late")
        app.to("late").emit("too late")
        app.to("later").emit("end")
        assert [await there.hear(), await there.hear()] == [("after",), ("end",)]


# Who is there


@asynchronous
async def test_sockets_of_all_workers_are_told_with_what_is_known_of_them() -> None:
    auths: list[dict[str, Any]] = [
        {"user": "ada", "rooms": ["x"]},
        {"user": "bob", "rooms": ["x", "y"], "shoes": 42},
    ]
    async with two_with_clients(*auths, {"user": "eve"}) as (sites, (ada, bob, eve)):
        assert await sids(sites) == {one.get_sid() for one in (ada, bob, eve)}
        found = {socket.user: socket for socket in await sites[0].app.to("x").sockets()}
        assert sorted(found) == ["ada", "bob"]
        there = found["bob"]
        assert (there.id, there.namespace, there.transport) == (bob.get_sid(), "/", "websocket")
        assert there.rooms == {there.id, "x", "y"}
        assert there.data == {"shoes": 42}
        assert (there.connected, there.recovered) == (True, False)
        handshake = there.handshake
        assert handshake.auth == auths[1]
        assert (handshake.address, handshake.secure) == ("127.0.0.1", False)
        assert handshake.headers["host"] == sites[1].host
        assert handshake.query["EIO"] == "4"
        real = next(iter(await sites[1].app.to(there.id).local.sockets()))
        assert handshake.time == real.handshake.time
        assert repr(there) == f"<RemoteSocket {there.id} in />"


@asynchronous
async def test_what_cannot_travel_of_a_sockets_data_stays(caplog: Any) -> None:
    async with two_with_clients({}, {}) as (sites, (_, there)):
        (real,) = await sites[1].app.local.sockets()
        real.data.update(number=7, thing=object())
        (told,) = await sites[0].app.to(there.get_sid()).sockets()
        assert told.data == {"shoes": None, "number": 7}
        assert "socket.data['thing'] is not told to other workers" in caplog.text


@asynchronous
async def test_a_socket_of_another_worker_does_as_one_of_this() -> None:
    async with two_with_clients({}, {}, {"rooms": ["side"]}) as (sites, (here, there, side)):
        (remote,) = await sites[0].app.to(there.get_sid()).sockets()
        there.on("sum", lambda *numbers: sum(numbers))
        remote.emit("one")
        remote.volatile.emit("two")
        remote.compress(False).emit("three")
        remote.cursor("c").emit("four")
        heard = [(await there.hear())[0] for _ in range(4)]
        assert heard == ["one", "two", "three", "four"]
        remote.user = "dan"
        (again,) = await sites[0].app.to(there.get_sid()).sockets()
        assert (remote.user, again.user) == ("dan", "dan")
        with pytest.raises(TypeError):
            remote.user = 7  # type: ignore[assignment]
        assert await remote.call("sum", 1, 2, timeout=5) == 3
        remote.join("side")
        remote.to("side").emit("aside")
        assert await side.hear() == ("aside",)
        remote.broadcast.emit("others")
        assert [await here.hear(), await side.hear()] == [("others",)] * 2
        remote.leave("side")
        assert (await sites[0].app.to("side").sockets())[0].id == side.get_sid()
        remote.disconnect()
        await eventually(lambda: not there.connected)
        with pytest.raises(Disconnected):
            await remote.call("sum", timeout=1)


@asynchronous
async def test_disconnect_from_afar() -> None:
    async with two_with_clients({"rooms": ["out"]}, {"rooms": ["out"]}, {}) as (sites, clients):
        sites[1].app.to("out").disconnect(close=True)
        await eventually(lambda: not clients[0].connected and not clients[1].connected)
        assert await sids(sites) == {clients[2].get_sid()}


# Acks


@asynchronous
async def test_acks_come_from_all_workers_as_they_were_given() -> None:
    async with two_with_clients({}, {}, {}, {}) as (sites, clients):
        given: list[Any] = [1, (b"two", [3]), None, {"four": 4}]
        for one, answer in zip(clients, given, strict=True):
            one.on("ask", lambda *args, answer=answer: answer)
        answers = await sites[0].app.call("ask", b"binary", timeout=5)
        for answer in given:
            answers.remove(answer)
        assert answers == []


@asynchronous
async def test_who_does_not_answer_elsewhere_is_counted() -> None:
    async with two_with_clients({}, {}, {}, {}) as (sites, clients):
        clients[0].on("ask", lambda: "here")
        clients[1].on("ask", lambda: "there")
        clients[3].on("ask", lambda: "there too")
        silent = await WebSocketClient.joined(sites[1])
        async with silent:
            clients[2].on("ask", lambda: "and here")
            with pytest.raises(CallTimeout, match=r"^1 did not answer 'ask' in 0.2 s$") as caught:
                await sites[0].app.call("ask", timeout=0.2)
        assert sorted(caught.value.answers) == ["and here", "here", "there", "there too"]


@asynchronous
async def test_what_one_client_answers_costs_nobody_elses_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some things that JSON has cannot be said to another worker: such as integers of more than 64
    bits with lists around them that are too deep to look for one.
    """

    def picky(value: Any) -> bytes:
        if "unspeakable" in repr(value):
            raise RecursionError
        return encode(value)

    monkeypatch.setattr("hocket.broker.local.encode", picky)
    monkeypatch.setattr("hocket.hub.elsewhere.encode", picky)
    async with serving_together(make_app) as sites:
        good, bad = [await WebSocketClient.joined(sites[1]) for _ in range(2)]
        async with good, bad:
            asked = asyncio.ensure_future(sites[0].app.call("ask", timeout=5))
            id = (await good.text()).removeprefix("42").partition("[")[0]
            await bad.text()
            await bad.say(f'43{id}["unspeakable"]')
            await good.say(f'43{id}["good"]')
            with pytest.raises(CallTimeout, match=r"^1 did not answer") as caught:
                await asked
            assert caught.value.answers == ["good"]


@asynchronous
async def test_nobody_there_is_an_empty_answer() -> None:
    async with two_with_clients() as (sites, _):
        assert await sites[0].app.call("ask", timeout=1) == []
        assert await sites[0].app.to("nowhere").sockets() == []


# Workers come and go


@asynchronous
async def test_a_worker_that_goes_is_not_waited_for() -> None:
    async with two_with_clients({}, {}) as (sites, clients):
        broker = sites[1].worker.broker
        assert broker is not None
        asked = asyncio.ensure_future(sites[0].app.call("ask", timeout=30))
        clients[0].on("ask", lambda: "here")
        await asyncio.sleep(0)
        broker.close()
        assert await asked == ["here"]
        assert await sids(sites) == {clients[0].get_sid()}
        sites[0].app.emit("still", "here")
        assert await clients[0].hear() == ("still", "here")


@asynchronous
async def test_a_worker_that_does_not_keep_up_stops_producers_until_it_does() -> None:
    async with two_with_clients({}, {}) as (sites, (_, there)):
        fast, slow, app = sites[0].worker.broker, sites[1].worker.broker, sites[0].app
        assert fast is not None
        assert slow is not None
        slow.hold(True)
        text = "x" * 500_000
        sent = 0
        while not fast.full:
            app.to(there.get_sid()).emit("big", sent, text)
            sent += 1
            await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="another worker does not keep up"):
            app.emit("one more")
        target = app.to(there.get_sid())
        with pytest.raises(Overloaded):
            target.join("x")
        with pytest.raises(Overloaded):
            target.leave("x")
        with pytest.raises(Overloaded):
            target.disconnect()
        with pytest.raises(Overloaded):
            target.set_user("ada")
        app.local.to("nobody").join("x")  # no other worker is to hear of it
        waiting = asyncio.ensure_future(app.drain())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        slow.hold(False)
        await asyncio.wait_for(waiting, 10)
        assert [(await there.hear())[1] for _ in range(sent)] == list(range(sent))


# No sticky sessions


@asynchronous
async def test_a_polling_session_is_served_whichever_worker_is_asked() -> None:
    async with serving_together(make_app) as sites:
        one = await PollingClient.opened(sites[0])
        await one.post("40")
        (told,) = await one.hear()
        assert told.startswith("40")
        one.site = sites[1]  # from now on it asks the other worker
        for number in range(3):
            await one.post(f'42{number}["say","nowhere","text"]')
            assert await one.hear() == [f'43{number}["passed on"]']
        assert [site.sessions for site in sites] == [1, 0]


@asynchronous
async def test_one_connection_may_carry_sessions_of_several_workers() -> None:
    """As behind a proxy that keeps its connections."""
    async with serving_together(make_app) as sites:
        clients = [await PollingClient.opened(site) for site in sites]
        async with await Wire.to(sites[0]) as wire:
            for _ in range(2):
                for one in clients:
                    answer = await wire.request("POST", one.target, body=b"40/nowhere,")
                    assert (answer.status, answer.body) == (200, b"ok")
                    answer = await wire.request("GET", one.target)
                    assert answer.body == b'44/nowhere,{"message":"Invalid namespace"}'
        assert [site.sessions for site in sites] == [1, 1]


@asynchronous
async def test_requests_in_a_row_are_answered_in_their_order() -> None:
    """Pipelined: what follows a request that moves its connection moves with it."""
    async with serving_together(make_app) as sites:
        first, second = [await PollingClient.opened(site) for site in sites]
        async with await Wire.to(sites[0]) as wire:
            await wire.send(
                b"".join(
                    head("x", one.target, "POST", "Content-Length: 2")
                    + packet
                    + head("x", one.target)
                    for one, packet in ((first, b"40"), (second, b"40"), (first, b"41"))
                )
            )
            answers = [await wire.answer() for _ in range(5)]
            assert [answer.body[:3] for answer in answers] == [b"ok", b"40{", b"ok", b"40{", b"ok"]


@asynchronous
async def test_an_upgrade_moves_to_the_worker_of_its_session() -> None:
    async with serving_together(make_app) as sites:
        one = await PollingClient.opened(sites[0])
        await one.post("40")
        await one.hear()
        path = f"/socket.io/?EIO=4&transport=websocket&sid={one.handshake['sid']}"
        async with await Wire.to(sites[1]) as wire:
            assert (await wire.upgrade(path)).status == 101
        assert [site.sessions for site in sites] == [1, 0]


@asynchronous
async def test_python_client_upgrades_through_the_other_worker() -> None:
    async with two_with_clients() as (sites, _), client(sites[0], ["polling"]) as one:
        one.eio.base_url = one.eio.base_url.replace(sites[0].host, sites[1].host)
        assert await one.call("say", ("nowhere", "text")) == "passed on"
        sites[1].app.emit("news")
        assert await one.hear() == ("news",)


@pytest.mark.parametrize("sid", ["", "short", "AB" + "x" * 18, "A!" + "x" * 18, "__" + "x" * 18])
@asynchronous
async def test_a_session_that_no_worker_has_is_unknown(sid: str) -> None:
    async with serving_together(make_app) as sites:
        for site in sites:
            answer = await ask(site, "GET", f"/socket.io/?EIO=4&transport=polling&sid={sid}x")
            assert (answer.status, answer.json["code"]) == (400, 1)


@asynchronous
async def test_users_of_all_workers_are_set() -> None:
    async with two_with_clients({"rooms": ["x"]}, {"rooms": ["x"]}, {"user": "c"}) as (sites, _):
        sites[0].app.to("x").set_user("both")
        users = sorted(each.user for each in await sites[1].app.sockets())
        assert users == ["both", "both", "c"]


@asynchronous
async def test_a_worker_that_answers_nothing_costs_a_call_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hocket.hub.elsewhere.GRACE", 0.1)
    async with two_with_clients({}, {}) as (sites, clients):
        clients[0].on("ask", lambda: "here")
        sites[1].worker.hub.elsewhere._acts.clear()  # type: ignore[union-attr]
        with pytest.raises(CallTimeout, match="1 did not answer 'ask'") as caught:
            async with asyncio.timeout(5):
                await sites[0].app.call("ask", timeout=0.2)
        assert caught.value.answers == ["here"]


@asynchronous
async def test_a_worker_that_is_full_takes_no_more_of_others() -> None:
    async with serving_together(make_app) as sites, await Wire.to(sites[1]) as wire:
        polling = await PollingClient.opened(sites[0])
        assert sites[0].worker.relay is not None
        sites[0].worker.relay._most = 0
        await wire.send(head(sites[1].host, polling.target))
        answer = await wire.answer()
        assert (answer.status, answer["retry-after"]) == (503, "5")
        assert await wire.is_closed()
        sites[0].worker.relay._most = 2
        async with await Wire.to(sites[1]) as another:
            await another.send(head(sites[1].host, polling.target, "POST", "Content-Length: 2"))
            await another.send(b"40")
            assert (await another.answer()).status == 200
