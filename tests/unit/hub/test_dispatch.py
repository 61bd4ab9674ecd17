"""Running handlers: their order, their errors, their acks, and who held the loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hocket import App
from hocket.errors import ConnectError
from hocket.hub.connection import Connection
from hocket.hub.dispatch import NO_ACK
from hocket.hub.handlers import Handlers
from hocket.hub.handshake import Handshake
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from tests.unit.hub.fakes import Gate, handlers
from tests.unit.hub.world import World


def settle(world: World) -> None:
    for _ in range(8):
        world.loop.turn()


def both(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The same handler as `def` and as `async def`."""

    @functools.wraps(function)
    async def later(*args: Any) -> Any:
        return function(*args)

    # Its arguments are the function's, but it is no decorator of it.
    later.__dict__.update(__signature__=inspect.signature(function))
    del later.__dict__["__wrapped__"]
    return [function, later]


# Acks


@pytest.mark.parametrize(
    ("result", "ack"),
    [
        (None, ["437[]"]),
        ("x", ['437["x"]']),
        ((1, 2), ["437[1,2]"]),
        ([1, 2], ["437[[1,2]]"]),
        ({"a": None}, ['437[{"a":null}]']),
        (NO_ACK, []),
    ],
)
@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_what_a_handler_returns_is_the_ack(result: Any, ack: list[str], kind: int) -> None:
    world = World(handlers(e=both(lambda socket: result)[kind]))
    socket = world.connect()
    world.say(socket, '427["e"]')
    world.say(socket, '42["e"]')
    settle(world)
    assert world.heard(socket) == ack
    assert world.errors == []


def test_a_binary_ack() -> None:
    world = World(handlers(e=lambda socket: b"\x01"))
    socket = world.connect()
    world.say(socket, '427["e"]')
    world.transport.uncork()
    taken = bytes(world.transport.taken[socket.connection.fd])
    assert b'461-7[{"_placeholder":true,"num":0}]' in taken
    assert taken.endswith(b"\x82\x01\x01")


def test_no_ack_is_named_in_messages() -> None:
    assert repr(NO_ACK) == "hocket.NO_ACK"


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_an_ack_that_cannot_be_encoded_is_an_error_of_the_handler(kind: int) -> None:
    world = World(handlers(e=both(lambda socket: object())[kind]))
    socket = world.connect()
    world.say(socket, '427["e"]')
    settle(world)
    ((error, who, event),) = world.errors
    assert (type(error), who, event) == (TypeError, socket, "e")
    assert world.heard(socket) == []
    assert socket.connected


# Errors


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError(1), asyncio.CancelledError(), StopIteration(), OSError()]
)
def test_an_error_is_told_with_its_socket_and_event_and_ends_nothing(
    kind: int, error: BaseException
) -> None:
    def fail(socket: Socket) -> None:
        raise error

    world = World(handlers(e=both(fail)[kind], f=lambda socket: "fine"))
    socket = world.connect()
    world.say(socket, '427["e"]')
    world.say(socket, '428["f"]')
    settle(world)
    ((told, who, event),) = world.errors
    # A coroutine turns a StopIteration into a RuntimeError by itself.
    assert told is error or isinstance(told.__cause__, StopIteration)
    assert (who, event) == (socket, "e")
    assert world.heard(socket) == ['438["fine"]']
    assert socket.connection.running == 0


def test_an_error_after_the_first_await_is_told_too() -> None:
    gate = Gate()

    async def fail(socket: Socket) -> None:
        await gate

    world = World(handlers(e=fail))
    socket = world.connect()
    world.say(socket, '427["e"]')
    settle(world)
    assert (world.errors, socket.connection.running) == ([], 1)
    gate.open(ValueError("later"))
    settle(world)
    assert [str(error) for error, _, _ in world.errors] == ["later"]
    assert world.heard(socket) == []
    assert socket.connection.running == 0


def test_a_missing_argument_is_an_error_and_the_handler_is_not_called() -> None:
    called: list[Any] = []
    for function in both(lambda socket, one, two: called.append(one)):
        world = World(handlers(e=function))
        socket = world.connect()
        world.say(socket, '427["e",1]')
        settle(world)
        ((error, who, event),) = world.errors
        assert (type(error), who, event) == (TypeError, socket, "e")
        assert "needs 2 argument(s) and got 1" in str(error)
    assert called == []


def test_an_error_in_a_disconnect_handler_costs_the_other_namespaces_nothing() -> None:
    ended: list[str] = []

    def fail(socket: Socket, reason: str) -> None:
        raise ValueError

    def note(socket: Socket, reason: str) -> None:
        ended.append(reason)

    world = World(handlers(disconnect=fail), static={"/b": handlers(disconnect=note)})
    socket = world.connect()
    world.join(socket.connection, namespace="/b")
    world.engine.close(socket.connection, "transport close")
    assert [event for _, _, event in world.errors] == ["disconnect"]
    assert ended == ["transport close"]


# Connect


def connected(world: World, packet: bytes = b"40") -> tuple[Connection, list[str]]:
    connection = world.transport.open()
    world.engine.receive_text(connection, packet)
    settle(world)
    return connection, world.transport.texts(connection.fd)


@pytest.mark.parametrize(
    ("error", "payload"),
    [
        (ConnectError(), {"message": "refused"}),
        (ConnectError("no"), {"message": "no"}),
        (ConnectError("no", {"code": 7}), {"message": "no", "data": {"code": 7}}),
        (ConnectError("no", 0), {"message": "no", "data": 0}),
        (ConnectError("no", object()), {"message": "no"}),
        (ValueError("a secret"), {"message": "internal error"}),
        (asyncio.CancelledError(), {"message": "internal error"}),
    ],
)
@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
@pytest.mark.parametrize("step", ["connect", "middleware"])
def test_a_refused_client_is_told_and_nothing_of_it_stays(
    error: BaseException, payload: dict[str, Any], kind: int, step: str
) -> None:
    def refuse(socket: Socket) -> None:
        socket.join("a")
        socket.emit("never sent")
        raise error

    world = World()
    if step == "connect":
        world.handlers.add("connect", both(refuse)[kind])
    else:
        world.handlers.add_middleware(both(refuse)[kind])
    ended: list[str] = []
    world.handlers.add("disconnect", lambda socket, reason: ended.append(reason))
    connection, told = connected(world)
    assert len(told) == 1
    assert (told[0][:2], json.loads(told[0][2:])) == ("44", payload)
    assert [event for _, _, event in world.errors] == (
        [] if isinstance(error, ConnectError) else ["connect"]
    )
    nsp = world.hub.namespaces["/"]
    assert (connection.sockets, nsp.sockets, nsp.rooms) == ((), {}, {})
    assert connection.running == 0
    assert not connection.closed
    assert ended == []


def test_what_a_refusal_says_is_a_packet_that_clients_know() -> None:
    """Bytes in its data cannot travel: Socket.IO has no binary CONNECT_ERROR."""

    def refuse(socket: Socket) -> None:
        raise ConnectError("no", {"icon": b"\x00"})

    connection, told = connected(World(handlers(connect=refuse)))
    assert [packet[:2] for packet in told] == ["44"]
    assert json.loads(told[0][2:])["message"] == "no"
    assert not connection.closed


def test_middleware_runs_in_its_order_before_connect() -> None:
    seen: list[Any] = []
    world = World()
    for number, kind in enumerate((0, 1, 0, 1)):

        def step(socket: Socket, auth: Any, number: int = number) -> None:
            seen.append((number, auth))

        world.handlers.add_middleware(functools.partial(both(step)[kind]))
    world.handlers.add("connect", lambda socket, auth: seen.append(("connect", auth)))
    connected(world, b'40{"token":1}')
    auth = {"token": 1}
    assert seen == [(0, auth), (1, auth), (2, auth), (3, auth), ("connect", auth)]


def test_after_a_refusal_no_further_step_runs() -> None:
    seen: list[str] = []

    async def refuse(socket: Socket) -> None:
        seen.append("middleware")
        raise ConnectError("no")

    world = World(handlers(connect=lambda socket: seen.append("connect")))
    world.handlers.add_middleware(refuse)
    _, told = connected(world)
    assert (seen, told) == (["middleware"], ['44{"message":"no"}'])


def test_auth_is_an_empty_dict_without_any() -> None:
    seen: list[Any] = []
    world = World(handlers(connect=lambda socket, auth: seen.append((auth, socket.handshake.auth))))
    connected(world)
    connected(world, b'40{"a":1}')
    assert seen == [({}, {}), ({"a": 1}, {"a": 1})]


def test_auth_is_kept_as_the_client_sent_it() -> None:
    seen: list[Socket] = []

    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        seen.append(socket)
        auth.clear()

    world = World(handlers(connect=connect))
    auth = {"user": "ada", "big": 10**30, "part": 0.1, "more": [None, True, {"": "\U0001f600"}]}
    connected(world, b"40" + msgspec.json.encode(auth))
    assert seen[0].handshake.auth == auth
    assert isinstance(seen[0].auth_json, bytes)  # a fifth of the dict


@pytest.mark.parametrize("beside", [b"", b'"b":"\\ud83d",'], ids=["", "half an emoji"])
def test_auth_may_be_as_deep_as_it_can_be_read(beside: bytes) -> None:
    world = World(handlers(connect=lambda socket, auth: None))
    limit, closed = sys.getrecursionlimit(), set()
    for depth in (10, *range(limit // 2, limit + 10), 100_000):
        connection = world.transport.open()
        world.engine.receive_text(
            connection, b"40{%b" % beside + b'"a":' + b"[" * depth + b"]" * depth + b"}"
        )
        closed.add(connection.closed)
    assert closed == {False, True}  # let in, or closed for a bad packet; nothing raises


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_what_connect_emits_follows_the_answer_in_the_same_write(kind: int) -> None:
    def connect(socket: Socket) -> None:
        socket.join("a")
        socket.emit("one")
        Target(socket.nsp, ("a",)).emit("two")
        Target(socket.nsp).emit("three")

    world = World(handlers(connect=both(connect)[kind]))
    before = world.transport.writes
    connection, told = connected(world)
    sid = connection.sockets[0].id
    assert told == [f'40{{"sid":"{sid}"}}', '42["one"]', '42["two"]', '42["three"]']
    assert world.transport.writes - before == 1


def test_who_overflows_while_connect_ends_gets_nothing_with_a_hole_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the bound it is a slow consumer; until it is closed it gets no later events either."""
    gate = Gate()

    async def connect(socket: Socket) -> None:
        await gate

    world = World(handlers(connect=connect), max_outbox=100)
    connection = world.transport.open()
    socket = world.join(connection)
    world.loop.turn()
    world.hub.fanout._inline = 0
    for number in range(4):  # in slices: they reach the socket only when its handler ends
        Target(socket.nsp).emit("e", number, "x" * 40)
    gate.open()
    for task in world.loop.tasks:
        task.step()
    socket.emit("e", "last")
    got = [json.loads(packet[2:])[1] for packet in world.transport.texts(connection.fd)[1:]]
    assert got == [0, 1, 2, 3, "last"][: len(got)]


class Turn:
    def __await__(self) -> Any:
        yield


def parting(close: bool, ends: list[str]) -> list[Handlers]:
    """Handlers of a client that is told why, and then sent away: at once, and over several turns
    of the loop. Others are told something in between.
    """

    def before(socket: Socket) -> None:
        socket.join("a")
        socket.emit("why", 1)
        Target(socket.nsp, ("a",)).emit("all", 2)

    def after(socket: Socket) -> None:
        socket.emit("why", 3)
        socket.disconnect(close)
        socket.disconnect()
        socket.emit("late")
        Target(socket.nsp, ("a",)).emit("late")
        assert not socket.connected

    def at_once(socket: Socket) -> None:
        before(socket)
        after(socket)

    async def later(socket: Socket) -> None:
        await Turn()
        before(socket)
        await Turn()
        after(socket)
        await Turn()
        Target(socket.nsp).emit("late")

    def ended(socket: Socket, reason: str) -> None:
        ends.append(reason)

    return [handlers(connect=connect, disconnect=ended) for connect in (at_once, later)]


@pytest.mark.parametrize("inline", [0, 64], ids=["in slices", "at once"])
@pytest.mark.parametrize("close", [False, True], ids=["socket", "connection"])
@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_who_is_sent_away_in_connect_hears_why(kind: int, close: bool, inline: int) -> None:
    ends: list[str] = []
    world = World(static={"/b": parting(close, ends)[kind], "/c": handlers()})
    world.hub.fanout._inline = inline
    connection = world.transport.open()
    for name in ("/", "/c"):
        world.join(connection, namespace=name)
    heard = world.transport.texts(connection.fd)
    fd = connection.fd
    world.engine.receive_text(connection, b"40/b,")
    settle(world)
    told = world.transport.texts(fd)[len(heard) :]
    assert told[0].startswith('40/b,{"sid":')
    others = ["41", "41/c,"] if close else []
    assert told[1:4] == ['42/b,["why",1]', '42/b,["all",2]', '42/b,["why",3]']
    assert told[4:] == [*others, "41/b,"]
    assert ends == ["server namespace disconnect"]
    assert connection.closed == close
    assert [socket.namespace for socket in connection.sockets] == ([] if close else ["/", "/c"])
    assert world.hub.namespaces["/b"].rooms == {}


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_who_is_refused_hears_nothing_else_also_when_sent_away_before(kind: int) -> None:
    def connect(socket: Socket) -> None:
        socket.emit("never")
        socket.disconnect()
        raise ConnectError("no")

    world = World(handlers(connect=both(connect)[kind]))
    connection, told = connected(world)
    assert (told, connection.sockets) == (['44{"message":"no"}'], ())


@pytest.mark.parametrize("has_connect", [False, True])
@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
def test_a_middleware_that_disconnects_refuses(kind: int, has_connect: bool) -> None:
    seen: list[str] = []

    def middleware(socket: Socket) -> None:
        socket.emit("never")
        Target(socket.nsp).emit("never")
        socket.disconnect()

    connect = {"connect": lambda socket: seen.append("connect")} if has_connect else {}
    world = World(handlers(**connect))
    world.handlers.add_middleware(both(middleware)[kind])
    connection, told = connected(world)
    assert (told, connection.sockets) == (['44{"message":"disconnected"}'], ())
    assert seen == []


# on_handshake


def refuse_later(handshake: Handshake) -> Any:
    async def refuse() -> bool:
        return False

    return refuse()


class RefusesLater:
    async def __call__(self, handshake: Handshake) -> bool:
        return False


@pytest.mark.parametrize("hook", [refuse_later, RefusesLater()], ids=["lambda", "object"])
def test_a_handshake_is_refused_however_that_was_written(hook: Callable[..., Any]) -> None:
    app = App()
    app.on_handshake(hook)
    admit = app.admit()
    assert admit is not None
    verdict = admit(Handshake(b"GET / HTTP/1.1\r\n\r\n", "", 0.0, False))

    async def waited() -> Any:
        return await verdict if asyncio.iscoroutine(verdict) else verdict

    assert asyncio.run(waited()) == "Forbidden"


# Order


def test_a_def_handler_waits_for_a_running_connect_of_another_namespace() -> None:
    began: list[str] = []

    async def connect(socket: Socket) -> None:
        began.append("connect")

    world = World(
        handlers(e=lambda socket: began.append("e")),
        static={"/b": handlers(connect=connect)},
    )
    socket = world.connect()
    world.engine.receive_text(socket.connection, b"40/b,")
    world.say(socket, '42["e"]')
    settle(world)
    assert began == ["connect", "e"]


def test_handlers_of_two_clients_do_not_wait_for_each_other() -> None:
    began: list[str] = []

    async def slow(socket: Socket) -> None:
        began.append("slow")
        await Gate()

    world = World(handlers(slow=slow, quick=lambda socket: began.append("quick")))
    one, two = world.connect(), world.connect()
    world.say(one, '42["slow"]')
    world.say(two, '42["quick"]')
    assert "quick" in began
    world.loop.turn()
    world.say(one, '42["quick"]')  # the slow one has begun: nothing of this client waits
    assert began.count("quick") == 2
    for task in world.loop.tasks:
        task.coroutine.close()


# The watchdog


def holding(world: World, seconds: float) -> dict[str, Callable[..., Any]]:
    def hold() -> None:
        world.loop.now += seconds

    def sync(socket: Socket) -> None:
        hold()

    def raising(socket: Socket) -> None:
        hold()
        raise ValueError

    async def first(socket: Socket) -> None:
        hold()

    async def later(socket: Socket) -> None:
        await Turn()
        hold()

    async def last(socket: Socket) -> None:
        await Turn()
        await Turn()
        hold()
        raise ValueError

    def giver(socket: Socket) -> Any:
        return later(socket)

    return {function.__name__: function for function in (sync, raising, first, later, last, giver)}


KINDS = ["sync", "raising", "first", "later", "last", "giver"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("as_connect", [False, True], ids=["event", "connect"])
def test_the_watchdog_names_the_handler_that_held_the_loop(
    kind: str, as_connect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.loop.now = 10.0
    function = holding(world, 0.06)[kind]
    world.handlers.add("connect" if as_connect else "e", function)
    with caplog.at_level(logging.WARNING, "hocket"):
        connection = world.transport.open()
        world.engine.receive_text(connection, b"40")
        settle(world)
        if not as_connect:
            world.engine.receive_text(connection, b'42["e"]')
        settle(world)
    (record,) = caplog.records
    names = (function.__qualname__, holding(world, 0)["later"].__qualname__)
    assert record.__dict__["handler"] in (names if kind == "giver" else names[:1])
    assert record.__dict__["held_ms"] == 60


@pytest.mark.parametrize("kind", ["sync", "first", "later"])
def test_the_watchdog_is_silent_up_to_50_ms(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.handlers.add("e", holding(world, 0.049)[kind])
    with caplog.at_level(logging.WARNING, "hocket"):
        world.say(world.connect(), '42["e"]')
        settle(world)
    assert caplog.records == []


def test_the_watchdog_says_it_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.handlers.add("e", holding(world, 0.06)["sync"])
    socket = world.connect()
    world.loop.now = 100.0
    with caplog.at_level(logging.WARNING, "hocket"):
        for _ in range(5):
            world.say(socket, '42["e"]')
        assert len(caplog.records) == 1
        world.loop.now += 1.0
        world.say(socket, '42["e"]')
    assert len(caplog.records) == 2
