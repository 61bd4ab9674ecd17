"""The traps that were measured before Hocket was built, each as a test that needs no luck."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hocket import App
from hocket.errors import Overloaded
from hocket.hub import fanout as fanout_module
from hocket.hub.engine import Engine, Limits
from hocket.hub.handlers import Handlers
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from hocket.instance.worker import limits_of
from hocket.settings import Settings
from hocket.testing import serve
from hocket.transport.http import HttpTransport
from hocket.transport.linger import Linger
from hocket.transport.poller import BATCH, DRAIN, EpollPoller
from hocket.transport.reactor import Reactor
from hocket.transport.stream import HttpStream
from tests.unit.hub.world import FakeLoop, World

EVENT = '42["e"]'


def handlers(**functions: Callable[..., Any]) -> Handlers:
    registered = Handlers()
    for name, function in functions.items():
        registered.add(name, function)
    return registered


# A closed connection's fd is reused at once


def test_a_reused_fd_gets_nothing_of_a_broadcast_that_was_under_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fanout_module, "INLINE", 0)
    monkeypatch.setattr(fanout_module, "STRIDE", 1)
    monkeypatch.setattr(fanout_module, "SLICE", 0.0)
    world = World()
    world.hub.fanout._inline = 0
    pairs = [sockets.socketpair() for _ in range(3)]
    clients = [world.connect() for _ in pairs]
    for client, (ours, _) in zip(clients, pairs, strict=True):
        client.connection.fd = ours.fileno()
    world.loop.write = os.write
    Target(clients[0].nsp).emit("e", "x" * 100)
    world.loop.turn()
    leaver = clients[1]
    fd = leaver.connection.fd
    world.engine.close(leaver.connection, "transport close")
    pairs[1][0].close()
    with open(tmp_path / "database", "wb", buffering=0) as database:
        if (
            database.fileno() != fd
        ):  # else the kernel has just done by itself what may always happen
            os.dup2(database.fileno(), fd)
        world.loop.settle()
        if database.fileno() != fd:
            os.close(fd)
    assert (tmp_path / "database").read_bytes() == b""
    for at in (0, 2):
        assert b"xxx" in pairs[at][1].recv(1000)
    for at, (ours, theirs) in enumerate(pairs):
        theirs.close()
        if at != 1:
            ours.close()


# Order of handlers


def test_a_def_handler_never_overtakes_an_earlier_async_def() -> None:
    began: list[str] = []

    async def slow(socket: Socket) -> None:
        began.append("slow")

    def quick(socket: Socket) -> None:
        began.append("quick")

    world = World(handlers(slow=slow, quick=quick))
    client = world.connect()
    for name in ("slow", "quick", "slow", "quick"):
        world.say(client, f'42["{name}"]')
    world.loop.turn()
    assert began == ["slow", "quick", "slow", "quick"]


def test_the_disconnect_handler_begins_after_all_earlier_ones() -> None:
    began: list[str] = []

    async def slow(socket: Socket) -> None:
        began.append("slow")

    def disconnect(socket: Socket, reason: str) -> None:
        began.append(reason)

    world = World(handlers(slow=slow, disconnect=disconnect))
    client = world.connect()
    world.say(client, '42["slow"]')
    world.engine.close(client.connection, "transport close")
    world.loop.turn()
    assert began == ["slow", "transport close"]


def test_timeout_and_taskgroup_work_inside_handlers() -> None:
    app = App()
    done: asyncio.Queue[str] = asyncio.Queue()

    @app.on("e")
    async def handle(socket: Socket) -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            await done.put("timed out")
        async with asyncio.TaskGroup() as group:
            group.create_task(done.put("one"))
            group.create_task(done.put("two"))

    async def scenario() -> list[str]:
        async with serve(app):
            assert app.hub is not None
            world = FakeClient(app.hub.engine)
            world.say(EVENT)
            return [await asyncio.wait_for(done.get(), 5) for _ in range(3)]

    assert asyncio.run(scenario()) == ["timed out", "one", "two"]


class FakeClient:
    """A client of a real hub, without a network."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.connection = engine.open(Silent(), 0, b"", "", False)
        self.connection.fd = os.open(os.devnull, os.O_WRONLY)
        engine.receive_text(self.connection, b"40")

    def say(self, packet: str) -> None:
        self.engine.receive_text(self.connection, packet.encode())


class Silent:
    name = "websocket"
    answers = True

    def backlog(self, *_: object) -> None: ...
    def lost(self, *_: object) -> None: ...
    def overflow(self, *_: object) -> None: ...
    def resume(self, *_: object) -> None: ...
    def left(self, connection: Any) -> None:
        raise AssertionError("nobody says so")

    def finish(self, connection: Any, reason: str) -> None:
        os.close(connection.fd)
        connection.fd = -1


def test_sixty_four_handlers_run_and_the_next_begins_when_one_ends() -> None:
    app = App()
    gate = asyncio.Semaphore(0)
    running: list[int] = []

    @app.on("e")
    async def handle(socket: Socket, number: int) -> None:
        running.append(number)
        await gate.acquire()

    async def scenario() -> None:
        async with serve(app) as url:
            _, writer = await connect(url)
            for number in range(70):
                writer.write(masked(f'42["e",{number}]'.encode()))
            await until(lambda: len(running) >= 64)
            _, other = await connect(url)  # the server has turned: it would have begun more by now
            assert running == list(range(64))
            other.close()
            gate.release()
            await until(lambda: len(running) > 64)
            assert running == list(range(65))
            for _ in range(100):
                gate.release()
            await until(lambda: len(running) == 70)
            assert running == list(range(70))
            writer.close()

    asyncio.run(scenario())


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw Socket.IO client on /, let in."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n" + masked(b"40")
    )
    await reader.readuntil(b'40{"sid"')
    return reader, writer


def masked(payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


# Threads


def test_emits_from_a_thread_arrive_in_their_order() -> None:
    app = App()

    async def scenario() -> list[bytes]:
        async with serve(app) as url:
            reader, writer = await connect(url)

            def produce() -> None:
                for number in range(200):
                    app.emit("n", number)

            thread = threading.Thread(target=produce)
            thread.start()
            heard = await reader.readuntil(b'["n",199]')
            thread.join()
            writer.close()
            return heard.split(b'42["n",')[1:]

    heard = asyncio.run(scenario())
    assert [int(each.split(b"]")[0]) for each in heard] == list(range(200))


def test_too_many_emits_from_threads_are_refused() -> None:
    world = World()
    client = world.connect()
    caught: list[BaseException] = []

    def produce() -> None:
        try:
            for _ in range(20_000):
                Target(client.nsp).emit("n", 1)
        except Overloaded as error:
            caught.append(error)

    thread = threading.Thread(target=produce)
    thread.start()
    thread.join()
    assert len(caught) == 1
    world.loop.settle()
    assert world.heard(client) == ['42["n",1]'] * 10_000


# The reactor


class Listener:
    """An endpoint's transport that remembers, and raises on `bad`."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.ends = 0

    def received(self, end: Any, data: bytes) -> None:
        if data == b"bad":
            raise RuntimeError("a defect")
        self.got.append(data)

    def ended(self, end: Any) -> None:
        self.ends += 1

    failed = ended

    def writable(self, end: Any) -> None: ...


class End:
    def __init__(self, fd: int, transport: Listener) -> None:
        self.fd = fd
        self.transport = transport


def test_one_bad_event_in_a_batch_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        reactor = Reactor(asyncio.get_running_loop(), lambda: 0.0)
        listener = Listener()
        pairs = [sockets.socketpair() for _ in range(5)]
        for at, (ours, theirs) in enumerate(pairs):
            ours.setblocking(False)
            reactor.add(End(ours.detach(), listener))
            theirs.send(b"bad" if at == 2 else b"good %d" % at)
        await asyncio.sleep(0)
        await until(lambda: len(listener.got) == 4)
        assert sorted(listener.got) == [b"good 0", b"good 1", b"good 3", b"good 4"]
        assert len(reactor) == 4
        assert pairs[2][1].recv(10) == b""
        pairs[0][1].send(b"again")
        await until(lambda: b"again" in listener.got)
        reactor.close_all()
        for _, theirs in pairs:
            theirs.close()

    asyncio.run(scenario())
    assert "a defect" in caplog.text


def test_a_drain_ends_in_time_and_nobody_starves() -> None:
    """Each event costs a third of the time there is: a few are served, then asyncio's turn."""

    async def scenario() -> None:
        now = 0.0
        served: list[int] = []

        def serve(fds: Iterable[int]) -> None:
            nonlocal now
            for fd in fds:
                now += DRAIN / 3
                served.append(fd)

        poller = EpollPoller(asyncio.get_running_loop(), serve, False, lambda: now)
        pairs = [sockets.socketpair() for _ in range(2 * BATCH)]
        for ours, theirs in pairs:
            poller.add(ours.fileno())
            theirs.send(b"x")  # and it is never read: always ready
        poller.drain()
        assert 1 <= len(served) <= 4
        for _ in range(2 * BATCH * 2):
            poller.drain()
        assert {ours.fileno() for ours, _ in pairs} == set(served)
        poller.close()
        for pair in pairs:
            for each in pair:
                each.close()

    asyncio.run(scenario())


def test_half_a_head_is_in_no_loop_and_is_closed_in_time() -> None:
    async def scenario() -> None:
        loop = FakeLoop()
        reads: list[int] = []
        reactor = Reactor(asyncio.get_running_loop(), lambda: 0.0)
        original = reactor._reading

        class Counting(HttpTransport):
            def received(self, stream: HttpStream, data: bytes) -> None:
                reads.append(len(data))
                super().received(stream, data)

        http = Counting(loop.lend(), reactor, Linger(loop.lend(), reactor), 1000, 10.0, 20.0, 1000)
        ours, theirs = sockets.socketpair()
        ours.setblocking(False)
        http.accepted(ours.detach(), "")
        theirs.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        await until(lambda: reads == [25])
        assert isinstance(original, EpollPoller)
        assert original._epoll.poll(0) == []
        for second in range(1, 10):
            http.tick(float(second))
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        for second in range(10, 14):
            http.tick(float(second))
        assert theirs.recv(100).startswith(b"HTTP/1.1 408 ")
        assert reads == [25]
        theirs.close()
        reactor.close_all()

    asyncio.run(scenario())


# Overload


def test_over_the_bound_producers_pause_and_emit_is_refused_until_half_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout_module, "INLINE", 1)
    monkeypatch.setattr(fanout_module, "SLICE", 0.0)
    world = World(max_pending=2_000)
    world.hub.fanout._inline = 1
    clients = [world.connect() for _ in range(4)]
    target = Target(clients[0].nsp)
    while not world.engine.fanout.paused:
        target.emit("e", "x" * 100)
    with pytest.raises(Overloaded, match="wait to be sent"):
        target.emit("e")
    assert world.loop.paused == [True]
    waiting = world.engine.fanout.pending_bytes
    assert 2_000 < waiting < 3_000
    world.loop.settle()
    assert world.loop.paused == [True, False]
    assert world.engine.fanout.pending_bytes == 0
    target.emit("e")
    world.loop.settle()
    assert world.heard(clients[0])[-1] == '42["e"]'


def test_drain_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "INLINE", 0)

    async def scenario() -> None:
        world = World(max_pending=1_000)
        world.hub.fanout._inline = 0
        client = world.connect()
        Target(client.nsp).emit("e", "x" * 2_000)
        waiting = asyncio.ensure_future(world.engine.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        world.loop.settle()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_disconnected_and_nobody_else() -> None:
    reasons: list[str] = []

    def disconnect(socket: Socket, reason: str) -> None:
        reasons.append(reason)

    world = World(handlers(disconnect=disconnect), max_outbox=1_000)
    slow, quick = world.connect(), world.connect()
    world.transport.room[slow.connection.fd] = 0
    for _ in range(30):
        Target(slow.nsp).emit("e", "x" * 100)
        world.loop.settle()
    assert reasons == ["slow-consumer"]
    assert len(world.heard(quick)) == 30


def test_one_message_over_the_bound_is_no_reason_to_disconnect() -> None:
    world = World(max_outbox=1_000)
    client = world.connect()
    world.transport.room[client.connection.fd] = 10
    client.emit("e", "x" * 5_000)
    world.loop.settle()
    world.transport.writable(client.connection)
    assert len(world.heard(client)) == 1


def test_limits_has_the_defaults_of_the_settings() -> None:

    assert limits_of(Settings()) == Limits()
