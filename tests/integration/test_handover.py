"""A new process takes the place of an old one, and its clients notice nothing. Both are here in the
test's own loop; tests/acceptance/test_reload.py has real ones.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket as sockets
import struct
import termios
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import pytest

from hocket import App, Disconnected, Handshake, Overloaded, Socket
from hocket.broker.roles import WORKER
from hocket.broker.succession import Session
from hocket.instance.handover import Giver, Heir
from hocket.transport.moving import Mover
from tests.support import (
    BINARY,
    CONTINUATION,
    TEXT,
    Gone,
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    asynchronous,
    eventually,
    frame,
    head,
    member,
    serving,
    serving_together,
    succeeding,
)


def make_app(name: str = "old") -> App:
    app = App()

    @app.on("connect")
    async def connect(socket: Socket, auth: dict[str, Any]) -> None:
        await asyncio.sleep(auth.get("wait", 0))
        if "gate" in auth:
            await gate.wait()
        socket.user = auth.get("user", "")
        socket.join(*auth.get("rooms", []))
        socket.data["made by"] = name

    @app.on("who")
    def who(socket: Socket) -> list[Any]:
        return [name, socket.user, sorted(socket.rooms - {socket.id}), socket.data["made by"]]

    @app.on("slow")
    async def slow(socket: Socket, seconds: float) -> str:
        await asyncio.sleep(seconds)
        socket.join("slow")
        socket.emit("to you", name)
        socket.to("all").emit("to others", name)
        return name

    @app.on("slow local")
    async def slow_local(socket: Socket, seconds: float) -> None:
        me, here = socket.volatile, app.local
        await asyncio.sleep(seconds)
        here.emit("to this worker", name)
        me.emit("to me", name)

    @app.on("become")
    async def become(socket: Socket, user: str) -> bool:
        await gate.wait()
        socket.user = user
        return True

    @app.on("ask")
    async def ask(socket: Socket) -> Any:
        try:
            return [name, await socket.call("question", timeout=10)]
        except Disconnected:
            gone.append(name)

    @app.on("ask all")
    async def ask_all(socket: Socket) -> Any:
        return [name, sorted(await app.to("all").call("question", timeout=10))]

    @app.on("who is there")
    async def there(socket: Socket) -> Any:
        await asyncio.sleep(0.1)
        return [name, sorted(each.user for each in await app.sockets())]

    @app.on("take")
    def take(socket: Socket, data: bytes, more: bytes) -> list[Any]:
        return [name, len(data), len(more)]

    @app.get("/name")
    def get_name() -> str:
        return name

    @app.get("/slow")
    async def get_slow() -> str:
        await asyncio.sleep(0.2)
        return name

    gone: list[str] = []
    gate = asyncio.Event()
    app.gone, app.gate = gone, gate  # type: ignore[attr-defined]
    return app


class Strange:
    """That says nothing about itself."""


async def joined(site: Site, auth: str = "{}") -> WebSocketClient:
    client = await WebSocketClient.opened(site)
    await client.say("40" + auth)
    assert (await client.text()).startswith("40")
    return client


async def ask(client: WebSocketClient, *packets: str | bytes) -> str:
    await client.say(*packets)
    return await client.text()


@asynchronous
async def test_a_client_keeps_its_session_its_user_its_rooms_and_its_data() -> None:
    async with serving(make_app()) as site:
        client = await joined(site, '{"user":"ada","rooms":["all","x"]}')
        async with client, succeeding(site, make_app("new")) as (new, giving):
            await giving
            assert await ask(client, '421["who"]') == '431[["new","ada",["all","x"],"old"]]'
            site.worker.app.to("x").emit("in x")
            assert await client.text() == '42["in x"]'
            (socket,) = await new.app.sockets()
            assert socket.handshake.headers["host"] == site.host
            new.app.to("x").disconnect()
            assert await client.text() == "41"
        assert site.alarms.messages == []


WIDE = "99999999999999999999999"  # an integer of more than 64 bits, which JSON may have


@asynchronous
async def test_nothing_that_a_client_says_can_stop_a_move(caplog: Any) -> None:
    """Integers that MessagePack does not have, in its auth, its data, an ack and half a packet;
    rooms and users that are no str; data under keys that are none.
    """
    old = make_app()

    @old.on("keep")
    def keep(socket: Socket, value: Any) -> None:
        socket.data["kept"] = value
        socket.data[7] = "under no name"  # type: ignore[index]

    async with serving(old) as site:
        client = await joined(site, f'{{"n":{WIDE},"user":null}}')
        other = await joined(site)
        await client.say(f'42["keep",{{"n":[{WIDE},-{WIDE}]}}]', '421["ask"]')
        question = await client.text()
        await other.say(
            f'452-1["take",{{"_placeholder":true,"num":0}},{{"_placeholder":true,"num":1}},{WIDE}]'
        )
        await other.say(b"x" * 10)
        async with client, other, succeeding(site, make_app("new")) as (new, giving):
            id = question.removeprefix("42").partition("[")[0]
            await client.say(f"43{id}[{WIDE}]")
            assert await client.text() == '431[["old",1e23]]'
            await giving
            (one,) = [each for each in await new.app.sockets() if "kept" in each.data]
            assert one.handshake.auth == {"n": int(WIDE), "user": None}
            assert one.data == {"made by": "old", "kept": {"n": [1e23, -1e23]}}
            assert one.user == ""
            await other.say(b"x" * 20)
            assert await other.text() == '431[["new",10,20]]'
        assert "socket.data[7] is not told to other workers" in caplog.text


TOO_EARLY = datetime.fromisoformat("0001-01-01T00:00:00+23:00")  # in UTC: before there are years


@pytest.mark.parametrize("value", [TOO_EARLY, memoryview(b"abcd")[::2], Strange()], ids=type)
@asynchronous
async def test_what_cannot_travel_is_left_behind(value: Any, caplog: Any) -> None:
    old = make_app()

    @old.on("keep")
    def keep(socket: Socket) -> bool:
        socket.data["kept"] = value
        return True

    async with serving(old) as site:
        client = await joined(site)
        assert await ask(client, '421["keep"]') == "431[true]"
        async with client, succeeding(site, make_app("new")) as (new, giving):
            await giving
            assert await ask(client, '421["who"]') == '431[["new","",[],"old"]]'
            (one,) = await new.app.sockets()
            assert one.data == {"made by": "old"}
        assert "socket.data['kept'] is not told to other workers" in caplog.text


@pytest.mark.parametrize("fails", ["while it is taken apart", "while it is written down"])
@asynchronous
async def test_a_session_that_cannot_move_does_not_hold_up_the_others(
    fails: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async with serving(make_app()) as site:
        clients = [await joined(site, f'{{"user":"{name}"}}') for name in ("ada", "bo")]
        mover_of = Mover._describe

        def describe(self: Mover, socket: Socket) -> Any:
            made = mover_of(self, socket)
            if socket.user != "ada":
                return made
            if fails == "while it is taken apart":
                raise LookupError(fails)
            return msgspec.structs.replace(made, calls=[object()])

        monkeypatch.setattr(Mover, "_describe", describe)
        async with succeeding(site, make_app("new")) as (_, giving):
            await giving
            assert await ask(clients[1], '421["who"]') == '431[["new","bo",[],"old"]]'
            with pytest.raises(Gone):
                await clients[0].text()
        assert "a session cannot move" in caplog.text
        clients[1].close()


@asynchronous
async def test_each_of_many_gets_its_own_open_file() -> None:
    """Those that poll have two, one or none, and they come by the dozen in one message."""
    async with serving(make_app()) as site:
        clients = [await joined(site, f'{{"user":"{at}"}}') for at in range(200)]
        polling = [await PollingClient.opened(site) for _ in range(20)]
        for at, each in enumerate(polling):
            await each.post(f'40{{"user":"p{at}","rooms":["polling"]}}')
            assert len(await each.hear()) == 1
        waiting = [asyncio.ensure_future(each.hear()) for each in polling[::2]]
        await asyncio.sleep(0.05)
        async with succeeding(site, new := make_app("new")) as (_, giving):
            await giving
            for at, client in enumerate(clients):
                assert await ask(client, '421["who"]') == f'431[["new","{at}",[],"old"]]'
            new.to("polling").emit("hello")
            assert [await one for one in waiting] == [['42["hello"]']] * 10
            for each in polling[1::2]:
                assert await each.hear() == ['42["hello"]']
        for client in clients:
            client.close()
        assert site.alarms.messages == []


@asynchronous
async def test_a_new_process_whose_old_one_dies_before_it_gave_all_says_so() -> None:
    async with serving_together(make_app) as sites:
        ends = sockets.socketpair()
        bereft = asyncio.Event()
        Heir(sites[0].worker, ends[0], lambda: None, bereft.set)
        ends[1].close()
        await asyncio.wait_for(bereft.wait(), 5)


@asynchronous
async def test_an_old_process_whose_new_one_dies_before_all_can_move_serves_on() -> None:
    async with serving(make_app()) as site:
        client = await joined(site)
        coming = await WebSocketClient.opened(site)
        await coming.say('40{"gate":1}')
        ends, said = sockets.socketpair(), list[str]()
        giver = Giver(site.worker, ends[1], lambda: said.append("gives"))
        giving = asyncio.create_task(giver.give(10))
        late = await joined(site)  # who comes meanwhile is let in
        ends[0].close()
        assert not await giving
        assert said == []
        site.app.gate.set()  # type: ignore[attr-defined]
        assert (await coming.text()).startswith("40")
        async with succeeding(site, make_app("new")) as (_, giving_all):
            await giving_all
            for each in (client, coming, late):
                assert await ask(each, '421["who"]') == '431[["new","",[],"old"]]'
                each.close()


@asynchronous
async def test_who_is_introduced_to_an_old_process_is_known_to_the_new_one() -> None:
    """Whoever introduces another process hears a moment later than all that everything moves."""
    async with serving_together(make_app) as (site, _):
        new = member(0, make_app("new"))
        await new.prepare()
        ends = sockets.socketpair()
        took = asyncio.Event()
        Heir(new, ends[0], took.set, lambda: None)
        giver = Giver(site.worker, ends[1])
        giving = asyncio.create_task(giver.give(10))
        await eventually(lambda: giver.has_given)
        another = sockets.socketpair()
        giver.pass_link(7, WORKER, another[0].detach())
        await asyncio.wait_for(took.wait(), 5)
        assert await giving
        broker = new.broker
        assert broker is not None
        await eventually(lambda: sorted(broker.peers) == [1, 7])
        await giver.part()
        await new.stop()
        another[1].close()


@asynchronous
async def test_what_new_code_does_as_it_starts_is_for_those_who_come() -> None:
    """Once each, and also for those whom other workers have."""
    async with serving_together(make_app) as (site, beside):
        clients = [await joined(each, '{"rooms":["all"]}') for each in (site, site, beside)]
        new = make_app("new")

        @new.on_startup
        def start() -> None:
            new.to("all").join("later")
            new.to("all").emit("number", 0)

        async def go_on() -> None:
            for number in range(1, 200):
                new.to("later").emit("number", number)
                await asyncio.sleep(0)

        going: list[asyncio.Task[None]] = []
        async with succeeding(
            site, new, just_before=lambda: going.append(asyncio.create_task(go_on()))
        ) as (_, giving):
            await giving
            await going[0]
            for client in clients:
                heard = [await client.text() for _ in range(200)]
                assert heard == [f'42["number",{number}]' for number in range(200)]
                client.close()
        assert site.alarms.messages == []


@asynchronous
async def test_what_new_code_may_do_as_it_starts_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hocket.hub.elsewhere.MOST_BYTES", 10_000)
    monkeypatch.setattr("hocket.hub.elsewhere.MOST_KEPT", 20)
    for size, most in ((1_000, 10), (1, 20)):
        new = make_app("new")

        @new.on_startup
        def start(new: App = new, size: int = size, most: int = most) -> None:
            for number in range(most):
                new.emit("number", number, "x" * size)
            with pytest.raises(Overloaded):
                new.emit("too much")
            with pytest.raises(Overloaded):
                new.to("all").join("later")

        async with serving(make_app()) as site:
            client = await joined(site)
            async with succeeding(site, new):
                for number in range(most):
                    assert (await client.text()).startswith(f'42["number",{number},')
                new.emit("end")
                assert await client.text() == '42["end"]'
            client.close()


@asynchronous
async def test_a_message_in_pieces_goes_on_where_it_was() -> None:
    """Half a frame, half a message, half a packet with attachments; text cut inside a character."""
    async with serving(make_app()) as site:
        clients = [await joined(site, f'{{"user":"{at}"}}') for at in range(4)]
        whole = frame(TEXT, '421["who","é"]'.encode())
        await clients[0].send(whole[:-4])
        await clients[1].send(frame(TEXT, b'421["who","\xc3', fin=False))
        await clients[2].say(
            '452-1["take",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        )
        await clients[2].say(b"x" * 10)
        await clients[3].send(frame(TEXT, b'421["who","' + b"y" * 70_000, fin=False))
        await asyncio.sleep(0.05)
        async with succeeding(site, make_app("new")):
            await clients[0].send(whole[-4:])
            await clients[1].send(frame(CONTINUATION, b'\xa9"]'))
            await clients[2].say(b"x" * 20)
            await clients[3].send(frame(CONTINUATION, b'"]'))
            for at in (0, 1, 3):
                assert await clients[at].text() == f'431[["new","{at}",[],"old"]]'
            assert await clients[2].text() == '431[["new",10,20]]'
        for client in clients:
            client.close()
        assert site.alarms.messages == []


@asynchronous
async def test_what_a_slow_reader_has_not_taken_follows_it() -> None:
    app = make_app()
    async with serving(app, max_outbox=8_000_000) as site:
        client = await joined(site)
        async with client:
            for number in range(60):
                app.emit("big", number, "x" * 100_000)
                await asyncio.sleep(0)
            async with succeeding(site, make_app("new"), max_outbox=8_000_000) as (new, _):
                new.app.emit("big", 60, "")
                for number in range(61):
                    assert (await client.text()).startswith(f'42["big",{number},')


@asynchronous
async def test_handlers_that_run_finish_where_they_began_and_reach_everybody() -> None:
    async with serving(make_app()) as site:
        one, other = (
            await joined(site, '{"rooms":["all"]}'),
            await joined(site, '{"rooms":["all"]}'),
        )
        await one.say('421["slow",0.3]')
        await asyncio.sleep(0.05)
        async with one, other, succeeding(site, make_app("new")) as (new, giving):
            assert not giving.done()
            assert (await ask(one, '422["who"]')).startswith('432[["new"')
            assert [await one.text(), await one.text()] == ['42["to you","old"]', '431["old"]']
            assert await other.text() == '42["to others","old"]'
            new.app.to("slow").emit("joined from afar")
            assert await one.text() == '42["joined from afar"]'
            await giving
        assert site.alarms.messages == []


@pytest.mark.parametrize("reloads", [1, 2])
@asynchronous
async def test_who_a_handler_that_runs_on_takes_a_client_for_counts(reloads: int) -> None:
    """Else who has logged out, and been told so, would be logged in still."""
    old = make_app()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(serving(old))
        client = await stack.enter_async_context(await joined(site, '{"user":"ada"}'))
        await client.say('421["become",""]')
        await eventually(lambda: site.worker.hub.dispatch.tasks)
        for _ in range(reloads):
            await stack.enter_async_context(succeeding(site, make_app("new")))
        old.gate.set()  # type: ignore[attr-defined]
        assert await client.text() == "431[true]"
        assert await ask(client, '422["who"]') == '432[["new","",[],"old"]]'


@asynchronous
async def test_calls_that_wait_get_their_acks() -> None:
    async with serving(make_app()) as site:
        auths = ['{"user":"a","rooms":["all"]}', '{"user":"b","rooms":["all"]}']
        one, other = [await joined(site, auth) for auth in auths]
        await one.say('421["ask"]', '422["ask all"]', '423["who is there"]')
        asked = [await one.text(), await one.text(), await other.text()]
        async with one, other, succeeding(site, make_app("new")) as (_, giving):
            for client, question in ((one, asked[0]), (other, asked[2]), (one, asked[1])):
                id = question.removeprefix("42").partition("[")[0]
                await client.say(f'43{id}["{id}"]')
            answers = {await one.text() for _ in range(3)}
            assert answers == {
                f'431[["old","{asked[0][2:].partition("[")[0]}"]]',
                f'432[["old",["{asked[1][2:].partition("[")[0]}","{asked[2][2:].partition("[")[0]}"]]]',
                '433[["old",["a","b"]]]',
            }
            await giving
            again = await ask(one, '424["ask"]')  # its id is none that was used before
            assert again not in asked
        assert site.alarms.messages == []


@asynchronous
async def test_who_leaves_after_the_move_is_waited_for_no_more() -> None:
    app = make_app()
    async with serving(app) as site:
        client = await joined(site)
        await client.say('421["ask"]')
        await client.text()
        async with succeeding(site, make_app("new")) as (_, giving):
            client.close()
            await giving
        assert app.gone == ["old"]  # type: ignore[attr-defined]


@asynchronous
async def test_a_polling_session_goes_on_with_its_waiting_poll() -> None:
    async with serving(make_app()) as site:
        client = await PollingClient.opened(site)
        await client.post('40{"user":"ada"}')
        await client.hear()
        poll = asyncio.ensure_future(client.hear())
        await asyncio.sleep(0.05)
        async with succeeding(site, make_app("new")) as (new, giving):
            await giving
            new.app.emit("news")
            assert await poll == ['42["news"]']
            await client.post('421["who"]')
            assert await client.hear() == ['431[["new","ada",[],"old"]]']
        assert site.alarms.messages == []


@asynchronous
async def test_what_waits_for_a_poll_waits_on() -> None:
    app = make_app()
    async with serving(app) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        await client.hear()
        app.emit("while nobody polled", b"binary")
        async with succeeding(site, make_app("new")) as (new, _):
            new.app.emit("and after")
            heard = await client.hear()
            assert heard[0].startswith('451-["while nobody polled"')
            assert heard[1:] == ["bYmluYXJ5", '42["and after"]']


@asynchronous
async def test_the_last_packets_of_a_session_that_polls_are_there_in_the_new_process() -> None:
    app = make_app()
    async with serving(app) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        await client.hear()
        (socket,) = await app.sockets()
        socket.disconnect(close=True)
        async with succeeding(site, make_app("new")) as (_, giving):
            await giving
            assert [(await client.poll()).body for _ in range(2)] == [b"41", b"1"]
            assert (await client.poll()).status == 400
        assert site.alarms.messages == []


@asynchronous
async def test_also_of_one_that_could_not_move_and_has_ended_since() -> None:
    old = make_app()
    async with serving(old) as site:
        client = await PollingClient.opened(site)
        await client.post('40{"gate":1}')
        (socket,) = site.worker.hub.namespaces["/"].sockets.values()
        async with succeeding(site, make_app("new")) as (new, _):
            assert new.broker is not None
            assert new.broker.left == {client.sid}
            socket.disconnect(close=True)
            old.gate.set()  # type: ignore[attr-defined]
            answers = [(await client.poll()).body.split(b"\x1e") for _ in range(2)]
            assert [each[:2] for answer in answers for each in answer] == [b"40", b"41", b"1"]
            assert new.broker.left == set()
        assert site.alarms.messages == []


@pytest.mark.parametrize(("keep_headers", "most"), [(True, 40), (False, 16)])
@asynchronous
async def test_an_answer_holds_as_many_packets_as_before_the_move(
    keep_headers: bool, most: int
) -> None:
    """Where nothing is known of the client any more, as many as every client reads."""
    app = make_app()
    async with serving(app, keep_headers=keep_headers) as site:
        client = await PollingClient.opened(site, "/socket.io/", "User-Agent: Mozilla/5.0")
        await client.post("40")
        await client.hear()
        for number in range(40):
            app.emit("e", number)
        async with succeeding(site, make_app("new")):
            assert len(await client.hear()) == most


@asynchronous
async def test_a_listener_goes_on_listening() -> None:
    async with serving(make_app()) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/events?rooms=all"))
        await wire.up_to(b"retry: 2000\n\n")
        async with succeeding(site, make_app("new")) as (new, giving):
            await giving
            new.app.emit("news", 1)
            assert await wire.up_to(b"\n\n") == b"event: news\ndata: [1]\n\n"


@asynchronous
async def test_idle_connections_and_half_requests_are_answered_by_the_new_one() -> None:
    async with serving(make_app()) as site:
        idle, half, busy = [await Wire.to(site) for _ in range(3)]
        async with idle, half, busy:
            assert (await idle.request("GET", "/name")).body == b"old"
            request = head(site.host, "/name")
            await half.send(request[:20])
            await busy.send(head(site.host, "/slow"))
            await asyncio.sleep(0.05)
            async with succeeding(site, make_app("new")) as (_, giving):
                await half.send(request[20:])
                assert (await half.answer()).body == b"new"
                assert (await idle.request("GET", "/name")).body == b"new"
                assert not giving.done()
                assert (await busy.answer()).body == b"old"
                await giving
                assert (await busy.request("GET", "/name")).body == b"new"
        assert site.alarms.messages == []


@asynchronous
async def test_a_client_that_a_proxy_has_not_introduced_yet_is_waited_for() -> None:
    how: dict[str, Any] = {"trusted_proxies": "127.0.0.1", "proxy_protocol": True}
    async with serving(make_app(), **how) as site, await Wire.to(site) as wire:
        await eventually(lambda: site.open_files == 1)
        async with succeeding(site, make_app("new"), **how) as (_, giving):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(giving), 0.2)
            await wire.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n")
            assert (await wire.request("GET", "/name")).body == b"new"
            await giving
        assert site.alarms.messages == []


@asynchronous
async def test_half_a_body_is_followed_by_the_rest() -> None:
    """Of a route's request, and of what a polling session posts."""
    old, new = make_app(), make_app("new")

    @old.post("/size")
    @new.post("/size")
    async def size(request: Any) -> str:
        return str(len(await request.body()))

    async with serving(old) as site, await Wire.to(site) as wire, await Wire.to(site) as post:
        client = await PollingClient.opened(site)
        await client.post("40")
        await client.hear()
        await wire.send(head(site.host, "/size", "POST", "Content-Length: 20") + b"x" * 5)
        said = b'421["who"]'
        length = f"Content-Length: {len(said)}"
        await post.send(head(site.host, client.target, "POST", length) + said[:4])
        await asyncio.sleep(0.05)
        async with succeeding(site, new) as (_, giving):
            await giving
            await wire.send(b"x" * 15)
            assert (await wire.answer()).body == b"20"
            await post.send(said[4:])
            assert (await post.answer()).body == b"ok"
            assert (await client.hear())[0].startswith('431[["new"')
        assert site.alarms.messages == []


@asynchronous
async def test_a_polling_session_that_cannot_move_yet_is_served_where_it_is() -> None:
    async with serving(make_app()) as site, await Wire.to(site) as wire:
        client = await PollingClient.opened(site)
        await client.post('40{"user":"late","wait":1.3}')
        await wire.send(head(site.host, client.target))
        await asyncio.sleep(0.05)
        async with succeeding(site, make_app("new")) as (_, giving):
            assert (await wire.answer()).body.startswith(b"40")
            poll = await wire.request("POST", client.target, body=b'421["who"]')
            assert poll.body == b"ok"
            await giving
            (heard,) = await client.hear()  # from whoever had it when it asked
            assert heard.endswith('"late",[],"old"]]')
        assert site.alarms.messages == []


@asynchronous
async def test_a_session_that_cannot_move_yet_is_found_over_any_connection() -> None:
    """Also over two old processes, and until it has ended there."""
    old = make_app()
    async with serving(old) as site:
        client, leaver = await PollingClient.opened(site), await PollingClient.opened(site)
        await client.post('40{"user":"late","gate":1}')
        await leaver.post('40{"gate":1}')
        async with (
            succeeding(site, make_app("new")) as (_, giving),
            succeeding(site, make_app("newest")) as (newest, _),
        ):
            assert not giving.done()
            assert newest.broker is not None
            assert newest.broker.left == {client.sid, leaver.sid}
            answer = asyncio.ensure_future(client.hear())
            assert (await leaver.post("1")).status == 200
            assert (await leaver.post("421[]")).status == 400
            old.gate.set()  # type: ignore[attr-defined]
            assert (await answer)[0].startswith("40")
            await eventually(lambda: client.sid in newest.engine.connections)
            assert (await client.post('421["who"]')).status == 200
            assert await client.hear() == ['431[["newest","late",[],"old"]]']
            assert newest.broker.left == set()
        assert site.alarms.messages == []


@asynchronous
async def test_who_is_admitted_only_after_the_move_is_let_in_by_the_new_process() -> None:
    """A session that polls: its next request goes there."""
    old = make_app()

    @old.on_handshake
    async def admit(handshake: Handshake) -> None:
        await old.gate.wait()  # type: ignore[attr-defined]

    async with serving(old) as site:
        opening = asyncio.create_task(PollingClient.opened(site))
        await eventually(lambda: site.worker.tasks)
        async with succeeding(site, make_app("new")) as (new, giving):
            old.gate.set()  # type: ignore[attr-defined]
            client = await opening
            assert client.sid in new.engine.connections
            await client.post("40")
            assert (await client.hear())[0].startswith("40")
            await giving
        assert site.alarms.messages == []


@asynchronous
async def test_who_is_admitted_after_the_move_with_a_body_follows() -> None:
    """The body has been read: what came is no longer there to be given to the new process."""
    old = make_app()

    @old.on_handshake
    async def admit(handshake: Handshake) -> None:
        await old.gate.wait()  # type: ignore[attr-defined]

    async with serving(old) as site, await Wire.to(site) as wire:
        target = "/socket.io/?EIO=4&transport=polling"
        await wire.send(head(site.host, target, "GET", "Content-Length: 60") + b"y" * 60)
        await eventually(lambda: site.worker.tasks)
        async with succeeding(site, make_app("new")) as (new, giving):
            old.gate.set()  # type: ignore[attr-defined]
            answer = await wire.answer()
            assert answer.status == 200
            await giving
            assert msgspec.json.decode(answer.body[1:])["sid"] in new.engine.connections
            await wire.send(head(site.host, "/name"))
            assert (await wire.answer()).body == b"new"


@asynchronous
async def test_who_is_about_to_enter_follows_when_it_has() -> None:
    async with serving(make_app()) as site:
        client = await WebSocketClient.opened(site)
        await client.say('40{"user":"late","rooms":["all"],"wait":1.3}')
        await asyncio.sleep(0.05)
        async with client, succeeding(site, make_app("new")) as (new, giving):
            assert (await client.text()).startswith("40")
            await giving
            assert await ask(client, '421["who"]') == '431[["new","late",["all"],"old"]]'
            new.app.to("all").emit("news")
            assert await client.text() == '42["news"]'
        assert site.alarms.messages == []


@asynchronous
async def test_an_upgrade_under_way_is_waited_for() -> None:
    async with serving(make_app()) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        await client.hear()
        path = client.target.replace("polling", "websocket")
        wire = await WebSocketClient.to(site)
        async with wire:
            await wire.upgrade(path)
            await wire.say("2probe")
            assert await wire.text() == "3probe"
            async with InAWhile(wire.say("5")), succeeding(site, make_app("new")) as (_, giving):
                await giving
                assert (await ask(wire, '421["who"]')).startswith('431[["new"')


class InAWhile:
    """Something that happens after 0.1 seconds."""

    def __init__(self, act: Any) -> None:
        self._act = act

    async def _run(self) -> None:
        await asyncio.sleep(0.1)
        await self._act

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        await self._task


@asynchronous
async def test_links_to_other_workers_go_on() -> None:
    """What others sent and nobody has read yet, and questions on their way, included."""
    async with serving_together(make_app) as sites:
        here, there = (
            await joined(sites[0], '{"user":"h","rooms":["all"]}'),
            await joined(sites[1], '{"user":"t","rooms":["all"]}'),
        )
        await here.say('421["ask all"]')
        question, questioned = await there.text(), await here.text()
        other = sites[1].app
        async with here, there, succeeding(sites[0], make_app("new")) as (new, giving):
            assert {socket.user for socket in await new.app.sockets()} == {"h", "t"}
            for number in range(100):
                other.emit("count", number)
                new.app.to("all").emit("from new", number)
            id = question.removeprefix("42").partition("[")[0]
            await there.say(f'43{id}["t"]')
            texts = {client: [await client.text() for _ in range(200)] for client in (here, there)}
            for heard in texts.values():
                for event in ("count", "from new"):
                    assert [text for text in heard if f'["{event}"' in text] == [
                        f'42["{event}",{number}]' for number in range(100)
                    ]
            assert {socket.user for socket in await other.sockets()} == {"h", "t"}
            assert {socket.user for socket in await new.app.sockets()} == {"h", "t"}
            id = questioned.removeprefix("42").partition("[")[0]
            await here.say(f'43{id}["h"]')
            assert await here.text() == '431[["old",["h","t"]]]'
            await giving
        assert [message for site in sites for message in site.alarms.messages] == []


@asynchronous
async def test_what_others_asked_for_before_is_answered() -> None:
    async with serving_together(make_app) as sites:
        here, there = [await joined(site) for site in sites]
        asked = asyncio.ensure_future(sites[1].app.call("question", timeout=10))
        question = await here.text()
        await there.text()
        async with here, there, succeeding(sites[0], make_app("new")):
            for client, name in ((here, "here"), (there, "there")):
                id = question.removeprefix("42").partition("[")[0]
                await client.say(f'43{id}["{name}"]')
            assert sorted(await asked) == ["here", "there"]
        assert [message for site in sites for message in site.alarms.messages] == []


@asynchronous
async def test_local_is_the_worker_that_took_over() -> None:
    async with serving_together(make_app) as sites:
        here, there = [await joined(site) for site in sites]
        await here.say('42["slow local",0.3]')
        await asyncio.sleep(0.05)
        async with here, there, succeeding(sites[0], make_app("new")) as (new, giving):
            heard = [await here.text() for _ in range(2)]
            assert heard == ['42["to this worker","old"]', '42["to me","old"]']
            await giving
            new.app.emit("end")
            assert await there.text() == '42["end"]'


@asynchronous
async def test_who_is_left_hears_all_that_is_published_once_and_in_order() -> None:
    async with serving_together(make_app) as sites:
        old, other = sites[0].app, sites[1].app
        clients = [await WebSocketClient.opened(sites[0]) for _ in range(5)]
        for client in clients:
            await client.say('40{"gate":1}')
        entering = sites[0].worker.hub.namespace("/")
        assert entering is not None
        await eventually(lambda: len(entering.sockets) == 5)
        async with succeeding(sites[0], make_app("new")) as (new, giving):
            assert new.broker is not None
            assert len(new.broker.left) == 5
            for number in range(300):
                other.emit("from other", number)
                new.app.emit("from new", number)
                if number == 100:
                    old.gate.set()  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)
            for client in clients:
                assert (await client.text()).startswith("40")
                heard = [await client.text() for _ in range(600)]
                for event in ("from other", "from new"):
                    assert [text for text in heard if f'["{event}"' in text] == [
                        f'42["{event}",{number}]' for number in range(300)
                    ]
                assert (await ask(client, '421["who"]')).startswith('431[["new"')
                client.close()
            await giving
        assert [message for site in sites for message in site.alarms.messages] == []


@pytest.mark.parametrize("reloads", [1, 2])
@asynchronous
async def test_an_old_process_that_does_not_keep_up_loses_who_is_left_and_stops_nobody(
    reloads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.instance.handover.LIMIT", 10_000)
    old = make_app()
    async with serving(old) as site, AsyncExitStack() as stack:
        first, client = site.worker, await joined(site)
        left = await WebSocketClient.opened(site)
        await left.say('40{"gate":1}')
        await eventually(lambda: len(first.hub.namespaces["/"].sockets) == 2)
        for _ in range(reloads):
            new, _ = await stack.enter_async_context(succeeding(site, make_app("new")))
        broker = new.broker
        assert broker is not None
        assert broker.left
        assert broker.old is not None
        for number in range(200):  # in one turn, in which the old one reads nothing
            new.app.emit("number", number, "x" * 1_000)
            assert broker.old.pending < 13_000
        for number in range(200):
            assert (await client.text()).startswith(f'42["number",{number},')
        await eventually(lambda: not first.engine.connections)
        assert await left.is_closed()
        left.close()
        assert first.engine.counts.closed["transport error"] == 1
        old.gate.set()  # type: ignore[attr-defined]
        again = await joined(site)
        new.app.emit("news")
        assert await again.text() == '42["news"]'
        again.close()
        client.close()
        warnings = [text for text in site.alarms.messages if "does not keep up" in text]
        assert site.alarms.messages == warnings


@asynchronous
async def test_requests_that_an_old_process_does_not_take_are_refused() -> None:
    old = make_app()
    async with serving(old) as site:
        client = await PollingClient.opened(site)
        await client.post('40{"gate":1}')
        async with succeeding(site, make_app("new")) as (new, _):
            assert new.broker is not None
            assert new.broker.old is not None
            new.broker.old.full = True
            answer = await client.poll()
            assert (answer.status, answer["retry-after"]) == (503, "1")
            new.broker.old.full = False
            old.gate.set()  # type: ignore[attr-defined]
            assert (await client.hear())[0].startswith("40")


@asynchronous
async def test_what_was_published_since_a_session_is_on_its_way_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends where it arrives, for it would miss the rest."""
    monkeypatch.setattr("hocket.instance.handover.LIMIT", 10_000)
    old = make_app()
    async with serving(old) as site:
        left = await WebSocketClient.opened(site)
        await left.say('40{"gate":1}')
        entering = site.worker.hub.namespace("/")
        assert entering is not None
        await eventually(lambda: entering.sockets)
        async with succeeding(site, make_app("new")) as (new, _):
            broker = new.broker
            assert broker is not None
            old.gate.set()  # type: ignore[attr-defined]
            while broker.since is None:  # for a turn or two
                await asyncio.sleep(0)
            for number in range(200):
                new.app.emit("number", number, "x" * 1_000)
            assert len(broker.since or ()) <= 12
            assert (await left.text()).startswith("40")
            assert await left.is_closed()
            assert not new.engine.connections
        left.close()


@asynchronous
async def test_a_new_process_that_does_not_keep_up_stops_producers_of_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hocket.instance.handover.LIMIT", 10_000)
    old = make_app()
    async with serving(old) as site:
        client, first = await joined(site), site.worker
        left = await WebSocketClient.opened(site)
        await left.say('40{"gate":1}')
        await eventually(lambda: len(first.hub.namespaces["/"].sockets) == 2)
        async with succeeding(site, make_app("new")):
            count = 0
            while not first.engine.paused:
                old.emit("number", count, "x" * 1_000)
                count += 1
            assert count < 12
            with pytest.raises(Overloaded):
                old.emit("number", count, "")
            await old.drain()
            old.emit("number", count, "")
            for number in range(count + 1):
                assert (await client.text()).startswith(f'42["number",{number},')
            old.gate.set()  # type: ignore[attr-defined]
        client.close()
        left.close()
        assert site.alarms.messages == []


@asynchronous
async def test_what_runs_too_long_is_cut_off_at_the_limit(
    caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.instance.worker.SHUTDOWN", 0.5)
    async with serving(make_app()) as site:
        client = await joined(site)
        await client.say('421["slow",30]')
        await asyncio.sleep(0.05)
        async with client, succeeding(site, make_app("new"), limit=0.2) as (_, giving):
            await giving
            assert (await ask(client, '422["who"]')).startswith('432[["new"')
        assert "handlers or requests run still, after 0.2 s" in caplog.text


@asynchronous
async def test_a_namespace_that_is_no_more_ends() -> None:
    app = make_app()
    app.namespace("/gone")
    async with serving(app) as site:
        client = await WebSocketClient.opened(site)
        async with client:
            await client.say("40/gone,")
            assert (await client.text()).startswith("40/gone,")
            async with succeeding(site, make_app("new")):
                assert await client.text() == "41/gone,"


@asynchronous
async def test_a_broken_client_is_told_by_the_old_one() -> None:
    async with serving(make_app(), max_handlers=1) as site:
        client = await joined(site)
        await client.say('421["slow",0.3]')
        await client.send(frame(BINARY, b"", reserved=2))
        await asyncio.sleep(0.05)
        async with client, succeeding(site, make_app("new")):
            assert await client.close_code() == 1002


async def only_pings(client: WebSocketClient) -> None:
    """Hear nothing else until the connection ends."""
    while True:
        assert await client.text() == "2"


@asynchronous
async def test_heartbeats_go_on_in_time() -> None:
    timing: dict[str, Any] = {"ping_interval": 0.4, "ping_timeout": 0.4}
    async with serving(make_app(), **timing) as site:
        quiet, live = await joined(site), await joined(site)
        quiet.answers_pings = False
        async with quiet, live, succeeding(site, make_app("new"), **timing) as (new, _):
            listening = asyncio.ensure_future(live.text())
            with pytest.raises(Gone):
                await only_pings(quiet)
            await asyncio.sleep(0.5)
            assert len(new.engine.connections) == 1
            new.app.emit("still here")
            assert await listening == '42["still here"]'


@pytest.mark.parametrize("ends", [True, False])
@asynchronous
async def test_a_fan_out_under_way_is_waited_for_but_not_for_long(
    ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all move nobody is served, so nobody should be written to either."""
    app, left, looks = make_app(), list[int](), 0
    monkeypatch.setattr("hocket.instance.handover.SETTLE", 10.0 if ends else 0.1)
    async with serving(app) as site:
        clients = [await joined(site) for _ in range(80)]
        fanout = site.worker.engine.fanout
        slice_, sweep, can_move = fanout.slice, Giver._sweep, Giver._can_move

        def slice_later(deadline: float) -> None:
            if ends and looks >= 3:
                slice_(deadline)

        def look(self: Giver, last: int) -> bool:
            nonlocal looks
            looks += 1
            return can_move(self, last)

        def sweep_all(self: Giver) -> None:
            left.append(len(fanout.active))
            sweep(self)

        monkeypatch.setattr(fanout, "slice", slice_later)
        monkeypatch.setattr(Giver, "_can_move", look)
        monkeypatch.setattr(Giver, "_sweep", sweep_all)
        emit = partial(app.emit, "to all")
        async with succeeding(site, make_app("new"), just_before=emit) as (new, giving):
            await giving
            new.app.emit("after")
            for client in clients:
                assert [await client.text() for _ in range(2)] == ['42["to all"]', '42["after"]']
        assert left == [0 if ends else 1]
        assert looks >= 3
        for client in clients:
            client.close()


@asynchronous
async def test_what_is_on_its_way_goes_out_before_the_move() -> None:
    """A broadcast that waits for its slice, and what the turn still holds back."""
    app = make_app()
    async with serving(app) as site:
        clients = [await joined(site, '{"user":"x","rooms":["all"]}') for _ in range(80)]
        first = (await app.sockets())[0]

        def emit() -> None:
            app.to("all").emit("to all")
            first.emit("to one")

        async with succeeding(site, make_app("new"), just_before=emit) as (new, _):
            new.app.emit("after")
            heard = [[await client.text() for _ in range(2)] for client in clients[1:]]
            assert heard == [['42["to all"]', '42["after"]']] * 79
            assert [await clients[0].text() for _ in range(3)] == [
                '42["to all"]',
                '42["to one"]',
                '42["after"]',
            ]
        for client in clients:
            client.close()


@asynchronous
async def test_what_a_link_has_half_sent_and_half_read_goes_on() -> None:
    async with serving_together(make_app, max_outbox=8_000_000) as sites:
        here, there = [await joined(site) for site in sites]
        ours, theirs = [site.worker.broker for site in sites]
        assert ours is not None
        assert theirs is not None
        theirs.hold(True)
        for number in range(4):
            sites[0].app.emit("out", number, "x" * 400_000)
        sites[1].app.emit("in", "y" * 900_000)
        (link_here,) = ours._links.values()
        while not link_here.channel._buffer:  # until half of it is read
            await asyncio.sleep(0)
        ours.hold(True)
        assert link_here.channel.pending
        succeeding_first = succeeding(sites[0], make_app("new"), max_outbox=8_000_000)
        async with here, there, succeeding_first as (new, _):
            theirs.hold(False)
            new.app.emit("end")
            starts = [(await there.text())[:12] for _ in range(6)]
            assert starts == ['42["in","yyy', *[f'42["out",{n},"' for n in range(4)], '42["end"]']
            heard = sorted([(await here.text())[:9] for _ in range(6)])
            assert heard == ['42["end"]', '42["in","', *['42["out",'] * 4]


@asynchronous
async def test_a_connection_on_its_way_to_a_busy_worker_arrives_there() -> None:
    async with serving_together(make_app, max_outbox=8_000_000) as sites:
        client = await PollingClient.opened(sites[1])
        await client.post('40{"user":"t"}')
        await client.hear()
        theirs = sites[1].worker.broker
        assert theirs is not None
        theirs.hold(True)
        for number in range(4):
            sites[0].app.emit("out", number, "x" * 400_000)
        async with await Wire.to(sites[0]) as wire:
            await wire.send(head(wire.host, client.target, "POST", "Content-Length: 1"))
            await eventually(lambda: sites[0].open_files == 0)
            async with succeeding(sites[0], make_app("new"), max_outbox=8_000_000):
                theirs.hold(False)
                await wire.send(b"3")
                assert (await wire.answer()).body == b"ok"
        assert [message for site in sites for message in site.alarms.messages] == []


@asynchronous
async def test_the_next_ping_comes_as_if_nothing_had_moved() -> None:
    async with serving(make_app()) as site:
        client = await joined(site)
        (connection,) = site.worker.engine.connections.values()
        connection.pinged -= 10
        age = site.worker.engine.ping_age(connection)
        async with client, succeeding(site, make_app("new")) as (new, _):
            (moved,) = new.engine.connections.values()
            assert moved is not connection
            assert age <= new.engine.ping_age(moved) <= age + 5


WHOLE = 8_000_000  # bytes of an answer of which the kernel takes a part


def large(app: App) -> App:
    @app.get("/large")
    def get_large() -> bytes:
        return bytes(WHOLE)

    return app


@asynchronous
async def test_an_answer_that_a_client_still_reads_is_waited_for() -> None:
    async with serving(large(make_app())) as site, await Wire.to(site, 4096) as wire:
        await wire.send(head(site.host, "/large"))
        await wire.up_to(b"\r\n\r\n")
        async with succeeding(site, make_app("new")) as (_, giving):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(giving), 0.2)
            assert await wire.exactly(WHOLE) == bytes(WHOLE)
            await giving
            assert (await wire.request("GET", "/name")).body == b"new"
        assert site.alarms.messages == []


def unread(fd: int) -> int:
    """Bytes that have come to a socket."""
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize("before", [0, 7], ids=["whole", "in pieces"])
@asynchronous
async def test_what_was_read_is_handed_on_before_what_comes_now(before: int) -> None:
    """Also if that is there in the same turn, as it may be for a session that moves late."""
    async with serving(make_app()) as site:
        client = await joined(site)
        worker, said = site.worker, frame(TEXT, b'421["who"]')
        mover = Mover(worker.hub, worker.reactor, worker.http, worker.gateway)
        mover.start()
        async with client:
            await client.send(said[:before])
            (connection,) = worker.engine.connections.values()
            if before:
                await eventually(lambda: connection.receiver is not None)
            connection.inbox = iter([(TEXT, b'422["who"]')])
            parcel = mover.take_apart(connection)
            assert parcel is not None
            more = said[before:] + frame(TEXT, b'423["who"]')
            await client.send(more)
            await eventually(lambda: unread(parcel.files[0]) == len(more))
            assert isinstance(parcel.message, Session)
            mover.put_together(parcel.message, parcel.files, lambda *_: None)
            worker.reactor._read([worker.engine.connections[connection.sid].fd])
            heard = [(await client.text())[:3] for _ in range(3)]
            assert heard == ["432", "431", "433"]
        assert site.alarms.messages == []


@asynchronous
async def test_who_is_waited_for_moves_when_all_is_taken() -> None:
    """Else the new process had it all at once, and took its client for a slow one."""

    def sending() -> App:
        app = App(max_outbox=100_000)

        @app.on("history")
        async def history(socket: Socket) -> str:
            for number in range(100):
                socket.emit("piece", number, "x" * 50_000)
                await socket.drain()
            return "sent"

        app.on("who")(lambda socket: "somebody")
        return app

    async with serving(sending()) as site:
        client = await WebSocketClient.joined(site)
        await client.say('421["history"]')
        assert await client.text() == f'42["piece",0,"{"x" * 50_000}"]'
        async with succeeding(site, sending()) as (new, giving):
            for number in range(1, 100):
                assert await client.text() == f'42["piece",{number},"{"x" * 50_000}"]'
                if number % 10 == 0:
                    await asyncio.sleep(0.02)  # it takes its time
            assert await client.text() == '431["sent"]'
            await giving
            assert len(new.engine.connections) == 1
            assert await ask(client, '422["who"]') == '432["somebody"]'
        client.close()
