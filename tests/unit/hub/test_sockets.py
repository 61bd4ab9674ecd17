"""Connecting, calling, leaving: what a socket goes through, on a loop turned by hand."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from itertools import pairwise
from typing import Any

import pytest

from hocket.errors import CallTimeout, ConnectError, Disconnected
from hocket.hub.calls import ack_args, ack_value
from hocket.hub.handlers import Handler, Handlers
from hocket.hub.heartbeat import Wheel
from hocket.hub.outbox import Backlog
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from tests.unit.hub.fakes import Gate
from tests.unit.hub.world import World


def handlers(**functions: Any) -> Handlers:
    registered = Handlers()
    for name, function in functions.items():
        registered.add(name, function)
    return registered


# Connecting


def test_what_a_connect_handler_emits_follows_the_answer_in_the_same_write() -> None:
    def connect(socket: Socket) -> None:
        socket.emit("first")
        socket.join("room")
        Target(socket.nsp, ("room",)).emit("second")
        Target(socket.nsp).emit("third")

    world = World(handlers(connect=connect))
    connection = world.transport.open()
    socket = world.join(connection)
    assert world.transport.writes == 0
    world.loop.turn()
    assert world.transport.writes == 1
    assert world.heard(socket) == [
        f'40{{"sid":"{socket.id}"}}',
        '42["first"]',
        '42["second"]',
        '42["third"]',
    ]


def test_so_does_what_reaches_it_while_an_async_one_runs() -> None:
    gate: list[Any] = []

    class Gate:
        def __await__(self) -> Any:
            gate.append(None)
            yield

    async def connect(socket: Socket) -> None:
        socket.join("room")
        await Gate()

    world = World(handlers(connect=connect))
    connection = world.transport.open()
    socket = world.join(connection)
    assert gate
    Target(socket.nsp, ("room",)).emit("meanwhile")
    assert world.transport.writes == 0
    world.loop.turn()
    assert world.heard(socket) == [f'40{{"sid":"{socket.id}"}}', '42["meanwhile"]']
    Target(socket.nsp, ("room",)).emit("after")
    assert world.heard(socket)[2:] == ['42["after"]']


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ConnectError("no"), '44{"message":"no"}'),
        (ConnectError("no", {"code": 1}), '44{"message":"no","data":{"code":1}}'),
        (ConnectError("no", object()), '44{"message":"no"}'),
        (ValueError("secret"), '44{"message":"internal error"}'),
    ],
)
def test_a_refusal(error: Exception, answer: str) -> None:
    ends: list[str] = []

    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.join("room")
        socket.emit("never")
        raise error

    def disconnect(socket: Socket, reason: str) -> None:
        ends.append(reason)

    world = World(handlers(connect=connect, disconnect=disconnect))
    connection = world.transport.open()
    world.engine.receive_text(connection, b"40")
    assert world.transport.texts(connection.fd) == [answer]
    assert connection.sockets == ()
    assert world.hub.namespaces["/"].rooms == {}
    assert world.hub.namespaces["/"].sockets == {}
    assert ends == []
    assert [type(each[0]) for each in world.errors] == ([] if "no" in answer else [ValueError])


def test_who_leaves_while_connect_runs_is_never_let_in() -> None:
    gate = Gate()

    async def connect(socket: Socket) -> None:
        socket.join("room")
        await gate

    world = World(handlers(connect=connect))
    connection = world.transport.open()
    world.join(connection)
    world.engine.close(connection, "transport close")
    gate.open()
    world.loop.turn()
    assert world.hub.namespaces["/"].rooms == {}
    assert world.transport.writes == 0


def test_a_flood_while_connect_runs_is_bounded() -> None:
    class Never:
        def __await__(self) -> Any:
            while True:
                yield

    async def connect(socket: Socket) -> None:
        await Never()

    world = World(handlers(connect=connect), max_outbox=1_000)
    connection = world.transport.open()
    socket = world.join(connection)
    for _ in range(20):
        socket.emit("x", "y" * 100)
    world.loop.turn()
    assert world.transport.finished == [(connection, "slow-consumer")]


# Leaving


def test_leaving_costs_its_own_rooms_only_and_the_handler_still_sees_them() -> None:
    seen: list[set[str]] = []

    def disconnect(socket: Socket, reason: str) -> None:
        seen.append(socket.rooms)

    world = World(handlers(disconnect=disconnect))
    others = [world.connect() for _ in range(3)]
    for number, other in enumerate(others):
        other.join(f"room-{number}")
    leaver = world.connect()
    leaver.join("room-0", "own")
    world.engine.close(leaver.connection, "transport close")
    assert seen == [{leaver.id, "room-0", "own"}]
    assert sorted(world.hub.namespaces["/"].rooms) == ["room-0", "room-1", "room-2"]
    leaver.emit("too late")
    leaver.join("late")
    assert "late" not in world.hub.namespaces["/"].rooms


def test_a_dynamic_namespace_goes_with_its_last_socket() -> None:
    world = World(dynamic={re.compile(r"/n-\d"): Handlers()})
    connection = world.transport.open()
    world.join(connection, namespace="/n-1")
    assert "/n-1" in world.hub.namespaces
    world.engine.receive_text(connection, b"41/n-1,")
    assert "/n-1" not in world.hub.namespaces


# Calls


def test_calls() -> None:
    async def scenario() -> None:
        world = World()
        ada, bob = world.connect(), world.connect()
        one = asyncio.ensure_future(ada.call("q"))
        await asyncio.sleep(0)
        assert world.heard(ada) == ['421["q"]']
        world.say(ada, '4399["unknown id"]')
        world.say(bob, '431["not asked"]')
        world.say(ada, '431["yes"]')
        world.say(ada, '431["twice"]')
        assert await one == "yes"
        everyone = asyncio.ensure_future(Target(ada.nsp).call("q", timeout=0.01))
        await asyncio.sleep(0)
        world.say(bob, "432[1,2]")
        with pytest.raises(CallTimeout) as caught:
            await everyone
        assert caught.value.answers == [(1, 2)]
        assert isinstance(caught.value, TimeoutError)
        assert ada.calls == {}
        waiting = asyncio.ensure_future(ada.call("q"))
        both = asyncio.ensure_future(Target(ada.nsp).call("q"))
        await asyncio.sleep(0)
        world.engine.close(ada.connection, "transport close")
        with pytest.raises(Disconnected):
            await waiting
        world.say(bob, "434[]")
        assert await both == [None]

    asyncio.run(scenario())


def test_a_call_before_connect_has_returned_is_a_clear_error() -> None:
    async def connect(socket: Socket) -> None:
        await socket.call("q")

    world = World(handlers(connect=connect))
    world.engine.receive_text(world.transport.open(), b"40")
    world.loop.turn()
    assert "before its connect handler has returned" in str(world.errors[0][0])


def test_ack_values() -> None:
    assert [ack_value(args) for args in ([], [1], [1, 2], [None])] == [None, 1, (1, 2), None]
    assert [ack_args(result) for result in (None, 1, (1, 2), [1, 2], ())] == [
        [],
        [1],
        [1, 2],
        [[1, 2]],
        [],
    ]


# Handlers


async def coroutine(socket: Socket, one: int, two: int = 2) -> None: ...
def star(socket: Socket, *args: int) -> None: ...


class Callable:
    async def __call__(self, socket: Socket, one: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "is_async", "required", "limit"),
    [
        (coroutine, True, 1, 2),
        (star, False, 0, None),
        (Callable(), True, 1, 1),
        (Callable().__call__, True, 1, 1),
        (functools.partial(coroutine, two=5), True, 1, 1),
        (lambda socket: None, False, 0, 0),
    ],
)
def test_a_handler_is_known_for_what_it_is(
    function: Any, is_async: bool, required: int, limit: int | None
) -> None:
    handler = Handler(function)
    assert (handler.is_async, handler.required, handler.limit) == (is_async, required, limit)


def test_arguments_are_fitted() -> None:
    handler = Handler(coroutine)
    assert handler.fit([1]) == [1]
    assert handler.fit([1, 2, 3]) == [1, 2]
    with pytest.raises(TypeError, match=r"coroutine\(\) needs 1 argument"):
        handler.fit([])


def test_what_cannot_be_a_handler() -> None:
    registered = handlers(e=star)
    for name in ("e", "connect_error", "disconnecting"):
        with pytest.raises(ValueError, match=name):
            registered.add(name, star)
    registered.add("connect", star)
    with pytest.raises(ValueError, match="already has a handler"):
        registered.add("connect", star)
    with pytest.raises(TypeError, match="the socket first"):
        Handler(lambda: None)

    def keyword(socket: Socket, *, needed: int) -> None: ...

    with pytest.raises(TypeError, match="'needed' can never be given"):
        Handler(keyword)


# The watchdog


@pytest.mark.parametrize("kind", ["sync", "async", "later", "connect"])
def test_the_watchdog_names_who_held_the_loop(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    class Turn:
        def __await__(self) -> Any:
            yield

    def sync(socket: Socket) -> None:
        world.loop.now += 0.06

    async def at_once(socket: Socket) -> None:
        world.loop.now += 0.06

    async def later(socket: Socket) -> None:
        await Turn()
        world.loop.now += 0.06

    function = {"sync": sync, "async": at_once, "later": later, "connect": sync}[kind]
    world = World(handlers(**{"connect" if kind == "connect" else "e": function}))
    world.loop.now = 10.0
    with caplog.at_level(logging.WARNING, "hocket"):
        socket = world.connect()
        world.say(socket, '42["e"]')
        world.loop.turn()
        world.loop.turn()
    assert f"handler {function.__qualname__} held the event loop for 60 ms" in caplog.text


def test_the_watchdog_is_silent_about_waiting(caplog: pytest.LogCaptureFixture) -> None:
    class Turn:
        def __await__(self) -> Any:
            yield

    async def patient(socket: Socket) -> None:
        await Turn()

    world = World(handlers(e=patient))
    socket = world.connect()
    world.say(socket, '42["e"]')
    world.loop.turn()
    world.loop.now += 10
    world.loop.turn()
    assert "held the event loop" not in caplog.text


# Heartbeats


def test_a_wheel_hands_out_each_thing_in_its_time() -> None:
    wheel: Wheel[str] = Wheel(0.5, 10.0, 100.0)
    assert [wheel.ticks(seconds) for seconds in (0.1, 0.5, 0.6, 10.0)] == [1, 1, 2, 20]
    wheel.put("a", 1)
    wheel.put("b", 4)
    assert list(wheel.advance(100.4)) == []
    assert list(wheel.advance(100.5)) == ["a"]
    for thing in wheel.advance(102.0):
        wheel.put(thing, 1)
    assert list(wheel.advance(102.5)) == ["b"]
    wheel.put("c", 20)
    assert list(wheel.advance(100_000.0)) == ["c"]
    wheel.put("d", 2)
    assert list(wheel.advance(100_001.0)) == ["d"]


@pytest.mark.parametrize(("interval", "timeout"), [(25.0, 20.0), (5.0, 20.0), (1.0, 1.0)])
def test_pings_and_their_timeout(interval: float, timeout: float) -> None:
    world = World(ping_interval=interval, ping_timeout=timeout)
    answers, silent = world.connect(), world.connect()
    for socket in (answers, silent):
        world.engine.heartbeat(socket.connection)
    pings: list[float] = []
    gone: float | None = None
    while world.loop.now < 4 * (interval + timeout):
        world.loop.now += world.engine.heartbeats.tick
        world.engine.tick(world.loop.now)
        if world.heard(answers):
            pings.append(world.loop.now)
            world.transport.taken[answers.connection.fd].clear()
            world.say(answers, "3")
        if silent.connection.closed and gone is None:
            gone = world.loop.now
    slack = 2.5 * world.engine.heartbeats.tick
    assert gone is not None
    assert interval + timeout <= gone + slack
    assert gone <= interval + timeout + slack
    gaps = [later - earlier for earlier, later in pairwise(pings)]
    assert len(pings) >= 3
    assert all(interval - slack <= gap <= interval + slack for gap in gaps)
    assert not answers.connection.closed


def test_who_joins_nothing_in_time_is_closed() -> None:
    world = World(connect_timeout=5.0, ping_interval=60.0, ping_timeout=60.0)
    idle, joined = world.transport.open(), world.connect()
    for second in range(10):
        world.engine.tick(float(second))
    assert [each for each, _ in world.transport.finished] == [idle]
    assert not joined.connection.closed


# The outbox


def test_a_backlog_merges_and_keeps_the_order() -> None:
    backlog = Backlog(1_000, lambda connection: None)
    parts = [b"%03d" % number for number in range(100)]
    for part in parts:
        backlog.append(part)
    taken: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        if len(taken) % 2:
            taken.append(b"")
            raise BlockingIOError
        taken.append(data[:17])
        return len(data[:17])

    while not backlog.write_out(write, 1):
        assert backlog.size == 300 - sum(map(len, taken))
    assert b"".join(taken) == b"".join(parts)


def test_a_backlog_over_its_bound_says_so_once() -> None:
    over: list[object] = []
    backlog = Backlog(10, over.append)
    connection: Any = object()
    for _ in range(5):
        backlog.add(connection, b"12345")
    assert over == [connection]
