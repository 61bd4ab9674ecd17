"""A server's life as its clients see it: start, stop, start again; and life under pressure."""

from __future__ import annotations

import asyncio
import re
import socket as sockets
import threading
from typing import Any

import pytest
import socketio

from hocket import App, ConnectError, Handshake, Overloaded, Socket
from hocket.instance.limits import FEW
from tests.support import (
    CLOSE,
    PollingClient,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
    serving,
)


def answering_app() -> App:
    app = App()

    @app.on("echo")
    def echo(socket: Socket, value: Any) -> Any:
        return value

    return app


# Start and stop


@asynchronous
async def test_run_says_where_it_cannot() -> None:
    app = App(port=0)
    with pytest.raises(RuntimeError, match="an event loop of its own, and one runs here"):
        app.run()
    with pytest.raises(RuntimeError, match="for the main thread"):
        await asyncio.to_thread(app.run)


@asynchronous
async def test_a_server_that_cannot_start_leaves_nothing_behind() -> None:
    app = answering_app()
    works = False

    @app.on_startup
    async def connect_to_the_database() -> None:
        if not works:
            raise ConnectionRefusedError("no database")

    with pytest.raises(ConnectionRefusedError):
        async with serving(app):
            raise AssertionError("nobody is let in")
    with pytest.raises(RuntimeError, match=r"in this process.* with hocket\.Emitter"):
        app.emit("nobody is there")
    works = True
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        await client.say('421["echo","now"]')
        assert await client.text() == '431["now"]'


@asynchronous
async def test_clients_are_told_that_the_server_stops() -> None:
    app = App()
    steps: list[str] = []

    @app.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        steps.append(reason)

    @app.on_shutdown
    async def shutdown() -> None:
        steps.append("shutdown")

    async with serving(app) as site:
        websocket = await WebSocketClient.joined(site)
        polling = await PollingClient.opened(site)
        assert (await polling.post("40")).status == 200
        assert (await polling.hear())[0].startswith("40")
        waiting = await Wire.to(site)
        await waiting.send(head(site.host, polling.target))
        resting = await Wire.to(site)
        assert (await resting.request("GET", "/nothing")).status == 404
        await ask(site, "GET", "/nothing")  # so what was sent before has been read
    assert steps == ["server shutting down", "server shutting down", "shutdown"]
    opcode, payload = await websocket.frame()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1001)
    told = await waiting.answer()
    assert told.status == 503 or told.body == b"1"
    for wire in (websocket, waiting, resting):
        assert await wire.is_closed()
        wire.close()


@asynchronous
async def test_what_has_come_when_the_server_is_told_to_stop_is_answered() -> None:
    app = answering_app()
    app.get("/hello")(lambda: "hello")
    ours, theirs = sockets.socketpair()
    with ours:
        async with serving(app) as site:
            site.worker.http.accepted(theirs.detach(), "127.0.0.1")
            ours.sendall(head(site.host, "/hello"))
        assert ours.recv(65_536).endswith(b"\r\n\r\nhello")
        assert ours.recv(1) == b""


@pytest.mark.parametrize("fields", [[], ["Connection: close"]])
@asynchronous
async def test_a_stop_waits_for_who_still_takes_an_answer(fields: list[str]) -> None:
    app = App()
    size = 8_000_000  # of which the kernel takes a part

    @app.get("/large")
    def large() -> bytes:
        return bytes(size)

    async with serving(app) as site:
        slow = await Wire.to(site, receive_buffer=4096)
        await slow.send(head(site.host, "/large", "GET", *fields))
        await slow.up_to(b"\r\n\r\n")
        reading = asyncio.create_task(slow.rest())
    assert len(await reading) == size


@asynchronous
async def test_a_stop_does_not_wait_for_who_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hocket.instance.worker.SHUTDOWN", 0.05)
    app = App()

    @app.get("/large")
    def large() -> bytes:
        return bytes(8_000_000)

    async with serving(app) as site:
        sloth = await Wire.to(site, receive_buffer=4096)
        await sloth.send(head(site.host, "/large"))
        await sloth.up_to(b"\r\n\r\n")
    sloth.close()


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
@asynchronous
async def test_a_client_comes_back_by_itself(transports: list[str]) -> None:
    app = answering_app()
    sids: asyncio.Queue[str] = asyncio.Queue()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        sids.put_nowait(socket.id)

    client = socketio.AsyncClient(
        reconnection_delay=0.02, reconnection_delay_max=0.05, randomization_factor=0
    )
    back = asyncio.Event()
    client.on("back", back.set)
    async with serving(app) as site:
        await client.connect(site.url, transports=transports)
        assert await client.call("echo", 1) == 1
        first = await sids.get()
    async with serving(app, port=site.address[1]) as again:
        assert again.url == site.url
        async with asyncio.timeout(20):
            assert await sids.get() != first
        app.emit("back")
        async with asyncio.timeout(20):
            await back.wait()
        assert await client.call("echo", 2) == 2
        await client.disconnect()


@asynchronous
async def test_on_handshake_may_be_a_plain_function() -> None:
    app = App()
    errors: list[str] = []

    @app.on_error
    def on_error(error: Exception, socket: Socket | None, event: str) -> None:
        assert socket is None
        errors.append(f"{event}: {error}")

    @app.on_handshake
    def handshake(handshake: Handshake) -> Any:
        assert handshake.auth == {}
        who = handshake.query["who"]
        if who == "banned":
            raise ConnectError("banned")
        if who == "broken":
            raise ValueError("secret detail")
        return who != "stranger"

    async with serving(app) as site:
        target = "/socket.io/?EIO=4&transport={}&who={}"
        messages = {"banned": "banned", "stranger": "Forbidden", "broken": "Forbidden"}
        for who, message in messages.items():
            for transport in ("polling", "websocket"):
                async with await Wire.to(site) as wire:
                    how = wire.upgrade if transport == "websocket" else wire_get(wire)
                    answer = await how(target.format(transport, who))
                    assert answer.status == 403
                    assert answer.json == {"code": 4, "message": message}
        assert errors == ["handshake: secret detail"] * 2
        assert site.sessions == 0
        assert (await ask(site, "GET", target.format("polling", "ada"))).status == 200


@pytest.mark.parametrize("when", ["def", "first step", "later", "second hook"])
@asynchronous
async def test_an_on_handshake_that_awaits_what_was_cancelled_refuses(when: str) -> None:
    """It is the hook's own error, and the client hears an answer."""
    app = App()
    told: list[str] = []
    app.on_error(lambda error, socket, event: told.append(event))
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def first_step(handshake: Handshake) -> None:
        await cancelled

    async def later(handshake: Handshake) -> None:
        await asyncio.sleep(0)
        await cancelled

    async def admit(handshake: Handshake) -> None:
        """Nothing against it."""

    if when == "second hook":
        app.on_handshake(admit)
    ways = {"def": lambda handshake: cancelled.result(), "first step": first_step}
    app.on_handshake(ways.get(when, later))
    async with serving(app) as site:
        for transport in ("polling", "websocket"):
            async with await Wire.to(site) as wire:
                how = wire.upgrade if transport == "websocket" else wire_get(wire)
                answer = await how(f"/socket.io/?EIO=4&transport={transport}")
                assert (answer.status, answer.json["message"]) == (403, "Forbidden")
        assert told == ["handshake"] * 2
        assert site.sessions == 0


def gated() -> tuple[App, asyncio.Event]:
    """An app that decides who may come when the event is set."""
    app, gate = App(), asyncio.Event()

    @app.on_handshake
    async def admit(handshake: Handshake) -> None:
        await gate.wait()

    @app.on("size")
    def size(socket: Socket, text: str) -> int:
        return len(text)

    return app, gate


@asynchronous
async def test_who_is_admitted_when_the_server_stops_is_turned_away() -> None:
    app, gate = gated()
    async with serving(app) as site:
        wires = [await Wire.to(site) for _ in range(3)]
        polling, websocket = (
            f"/socket.io/?EIO=4&transport={name}" for name in ("polling", "websocket")
        )
        asking = [
            asyncio.create_task(wires[0].request("GET", polling)),
            asyncio.create_task(wires[1].upgrade(websocket)),
        ]
        await wires[2].send(head(site.host, "/events"))
        await eventually(lambda: len(site.worker.tasks) == 3)
        site.worker.gateway.stops = True
        gate.set()
        assert [(await one).status for one in asking] == [503, 503]
        assert await wires[2].is_closed()  # an EventSource comes back after that only
        assert site.sessions == 0
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("size", [0, 100_000])
@asynchronous
async def test_what_a_client_says_while_it_is_decided_upon_is_heard(size: int) -> None:
    """Also if it is so much that no more was read of it."""
    app, gate = gated()
    async with serving(app) as site, await WebSocketClient.to(site) as client:
        fields = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        await client.send(head(site.host, "/socket.io/?EIO=4&transport=websocket", "GET", *fields))
        await eventually(lambda: site.worker.tasks)
        await client.say("40", f'421["size","{"x" * size}"]')
        await eventually(lambda: any(each.buffer for each in site.worker.http.streams()))
        gate.set()
        assert (await client.answer()).status == 101
        assert (await client.text()).startswith("0{")
        assert (await client.text()).startswith("40{")
        assert await client.text() == f"431[{size}]"
        await client.say('422["size","more"]')
        assert await client.text() == "432[4]"


def wire_get(wire: Wire) -> Any:
    return lambda target: wire.request("GET", target)


# Under pressure


@asynchronous
async def test_who_emits_too_much_is_stopped_and_may_go_on_after_a_drain() -> None:
    app = App(max_pending=1_000)
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        refused = 0
        for number in range(1_000):
            try:
                app.emit("n", number, "x" * 50)
            except Overloaded:
                refused += 1
                await app.drain()
                app.emit("n", number, "x" * 50)
        assert refused > 1
        await app.drain()
        for number in range(1_000):
            assert await client.text() == f'42["n",{number},"{"x" * 50}"]'


@asynchronous
async def test_a_thread_that_emits_too_much_is_stopped_too() -> None:
    app = App()
    outcome: list[int] = []

    def produce() -> None:
        emitted = 0
        try:
            for _ in range(100_000):
                app.emit("n")
                emitted += 1
        except Overloaded:
            outcome.append(emitted)

    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        thread = threading.Thread(target=produce)
        thread.start()
        thread.join()  # the loop is held meanwhile, so nothing of it is done
        for _ in range(outcome[0]):
            assert await client.text() == '42["n"]'
        app.emit("after")
        assert await client.text() == '42["after"]'


@asynchronous
async def test_a_thread_may_move_and_end_clients() -> None:
    app = App()
    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        (socket,) = await app.sockets()

        def act() -> None:
            app.to(socket.id).join("room")
            app.to("room").emit("hello")
            app.to("room").disconnect(close=True)

        await asyncio.get_running_loop().run_in_executor(None, act)
        assert await client.text() == '42["hello"]'
        assert await client.text() == "41"
        assert await client.close_code() == 1000
        assert site.sessions == 0


def refusing_app(close: bool) -> App:
    """Tells who connects why it cannot stay; a task of the handler's does so in `/soon`."""
    app, tasks = App(), set[asyncio.Task[None]]()
    going = asyncio.Event()

    async def send_away(socket: Socket) -> None:
        socket.emit("refused", "full")
        socket.disconnect(close)
        going.set()

    app.on("connect")(send_away)

    @app.namespace("/soon").on("connect")
    async def connect(socket: Socket) -> None:
        tasks.add(asyncio.create_task(send_away(socket)))
        await going.wait()

    return app


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("name", ["", "/soon,"])
@asynchronous
async def test_who_is_sent_away_in_connect_hears_why(name: str, close: bool) -> None:
    last = [f'42{name}["refused","full"]', f"41{name}"]
    async with serving(refusing_app(close)) as site:
        async with await WebSocketClient.opened(site) as client:
            await client.say(f"40{name}")
            assert (await client.text()).startswith(f'40{name}{{"sid":')
            assert [await client.text() for _ in last] == last
            if close:
                assert await client.close_code() == 1000
        polling = await PollingClient.opened(site)
        await polling.post(f"40{name}")
        first, *rest = await polling.hear()
        assert (first[: len(name) + 2], rest) == (f"40{name}", last)
        if close:
            assert await polling.hear() == ["1"]


@asynchronous
async def test_volatile_events_are_dropped_for_who_does_not_poll() -> None:
    app = App()
    async with serving(app) as site:
        client = await PollingClient.opened(site)
        await client.post("40")
        assert (await client.hear())[0].startswith("40")
        app.volatile.emit("lost")
        app.emit("kept")
        assert await client.hear() == ['42["kept"]']
        async with await Wire.to(site) as poll:
            await poll.send(head(site.host, client.target))
            await ask(site, "GET", "/nothing")  # the poll has been read by now
            app.volatile.emit("heard")
            assert (await poll.answer()).body == b'42["heard"]'
        await client.post("1")


@asynchronous
async def test_handlers_start_in_order_and_only_so_many_run() -> None:
    app = App(max_handlers=3)
    started: list[int] = []
    gate = asyncio.Event()

    @app.on("async")
    async def later(socket: Socket, number: int) -> int:
        started.append(number)
        await gate.wait()
        return number

    @app.on("sync")
    def now(socket: Socket, number: int) -> int:
        started.append(number)
        return number

    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        kinds = ["async", "sync"] * 50
        await client.say(*[f'42{at}["{kind}",{at}]' for at, kind in enumerate(kinds)])
        await eventually(lambda: len(started) >= 4)
        async with await WebSocketClient.joined(site) as other:  # others are served meanwhile
            await other.say('421["sync",-1]')
            assert await other.text() == "431[-1]"
        started.remove(-1)
        assert len([number for number in started if number % 2 == 0]) <= 3
        gate.set()
        answers = {await client.text() for _ in kinds}
        assert answers == {f"43{at}[{at}]" for at in range(100)}
        assert started == list(range(100))


@pytest.mark.parametrize("kind", [WebSocketClient, PollingClient])
@asynchronous
async def test_a_client_whose_handlers_all_wait_is_not_taken_for_dead(kind: Any) -> None:
    """It is not read from, so its pongs are not either."""
    app = App(max_handlers=2, ping_interval=0.2, ping_timeout=0.2)
    gate = asyncio.Event()

    @app.on("wait")
    async def wait(socket: Socket) -> str:
        await gate.wait()
        return "waited"

    async with serving(app) as site:
        client = await kind.opened(site)
        if kind is WebSocketClient:
            waits = [f'42{n}["wait"]' for n in (1, 2, 3)]
            await client.say("40", *waits, "3", "3", "3")
        else:
            await client.post("40")
            posting = asyncio.ensure_future(
                client.post(*[f'42{n}["wait"]' for n in (1, 2, 3)], "3", "3", "3")
            )
            polling = asyncio.ensure_future(client.hear())
        await asyncio.sleep(1.2)
        assert site.sessions == 1
        gate.set()
        await eventually(lambda: not site.worker.hub.dispatch.tasks)
        if kind is WebSocketClient:
            heard = [await client.text() for _ in range(4)]
            assert heard[1:] == [f'43{n}["waited"]' for n in (1, 2, 3)]
            client.close()
        else:
            assert (await posting).status == 200
            await polling
            await client.post("1")


@asynchronous
async def test_sessions_that_poll_have_a_bound_too() -> None:
    async with serving(App(max_connections=5, workers=1)) as site:
        answers = [await ask(site, "GET", "/socket.io/?EIO=4&transport=polling") for _ in range(90)]
        assert {answer.status for answer in answers} == {200, 503}
        assert b"no room for more clients" in answers[-1].body
        assert site.sessions == 5 + FEW
        async with await WebSocketClient.to(site) as wire:
            assert (await wire.upgrade("/socket.io/?EIO=4&transport=websocket")).status == 503


@asynchronous
async def test_errors_that_clients_provoke_do_not_fill_the_log() -> None:
    app, told = App(), []

    @app.on("chat")
    def chat(socket: Socket, text: str) -> None: ...

    @app.on_error
    def note(error: BaseException, socket: Socket | None, event: str) -> None:
        told.append(event)

    async with serving(app) as site, await WebSocketClient.joined(site) as client:
        await client.say(*['42["chat"]'] * 200)
        await eventually(lambda: len(told) == 200)
        assert 10 < len(site.alarms.messages) < 40
        assert "no more is said" in site.alarms.messages[10]


@asynchronous
async def test_names_that_nobody_is_in_are_not_kept() -> None:
    app = App()
    app.namespace(re.compile(r"/room-\d+"))
    async with serving(app) as site:
        for number in range(100):
            app.namespace(f"/room-{number}").emit("anybody?")
            app.to(f"room {number}").emit("anybody?")
        assert not site.worker.hub.namespaces["/"].rooms
        assert len(site.worker.hub.namespaces) < 10


# Half-open upgrades


async def probe(polling: PollingClient) -> tuple[WebSocketClient, int]:
    wire = await WebSocketClient.to(polling.site)
    answer = await wire.upgrade(polling.target.replace("=polling", "=websocket"))
    return wire, answer.status


@asynchronous
async def test_a_probe_that_says_nothing_is_given_up_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hocket.transport.upgrade.UPGRADE_TIMEOUT", 0.1)
    async with serving(answering_app()) as site:
        polling = await PollingClient.opened(site)
        for said in ([], ["2probe"]):
            wire, status = await probe(polling)
            assert status == 101
            await wire.say(*said)
            if said:
                assert await wire.text() == "3probe"
            assert await wire.close_code() == 1000
            wire.close()
        await polling.post("40")
        assert (await polling.hear())[0].startswith("40")
        await polling.post('421["echo","over polling"]')
        assert await polling.hear() == ['431["over polling"]']
        await polling.post("1")
        await eventually(lambda: site.open_files == 0)


@asynchronous
async def test_a_second_probe_is_shown_out_and_the_first_still_moves_the_session() -> None:
    async with serving(answering_app()) as site:
        polling = await PollingClient.opened(site)
        first, _ = await probe(polling)
        second, status = await probe(polling)
        assert status == 101
        assert (await second.frame())[0] == CLOSE
        assert await second.is_closed()
        await first.say("2probe")
        assert await first.text() == "3probe"
        await first.say("5", "40")
        assert (await first.text()).startswith("40")
        assert site.sessions == 1
        first.close()
        second.close()


@asynchronous
async def test_a_probe_that_breaks_off_leaves_the_session_on_polling() -> None:
    async with serving(answering_app()) as site:
        polling = await PollingClient.opened(site)
        for _ in range(3):  # each is forgotten, or the next would be shown out
            wire, status = await probe(polling)
            assert status == 101
            await wire.say("2probe")
            assert await wire.text() == "3probe"
            wire.reset()
            await eventually(lambda: site.open_files == 0)
        await polling.post("40")
        assert (await polling.hear())[0].startswith("40")


@asynchronous
async def test_the_end_of_the_session_ends_its_probe() -> None:
    async with serving(answering_app()) as site:
        polling = await PollingClient.opened(site)
        wire, _ = await probe(polling)
        await wire.say("2probe")
        assert await wire.text() == "3probe"
        assert (await polling.post("1")).status == 200
        assert await wire.close_code() == 1000
        wire.close()
        await eventually(lambda: site.open_files == 0)
