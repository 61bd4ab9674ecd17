"""Rooms: who is in them, when they are there, and what leaving costs."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from hocket.hub import fanout
from hocket.hub.handlers import Handlers
from hocket.hub.namespace import Namespace
from hocket.hub.room import Room
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from tests.unit.hub.fakes import handlers
from tests.unit.hub.world import World


def heard(world: World, *sockets: Socket) -> list[list[str]]:
    world.loop.settle()
    return [world.heard(socket) for socket in sockets]


def namespace(world: World, name: str = "/") -> Namespace:
    found = world.hub.namespace(name)
    assert found is not None
    return found


def test_a_room_is_there_while_somebody_is_in_it() -> None:
    world = World()
    one, two = world.connect(), world.connect()
    one.join("a", "b")
    two.join("a")
    rooms = namespace(world).rooms
    assert set(rooms) == {"a", "b"}
    one.leave("a", "b")
    assert set(rooms) == {"a"}
    world.engine.close(two.connection, "transport close")
    assert rooms == {}


def test_what_is_counted_as_sent_is_what_goes_to_somebody() -> None:
    world = World()
    one, two, three = world.connect(), world.connect(), world.connect()
    one.join("a")
    two.join("a", "b")
    before = world.engine.counts.events_out
    Target(namespace(world), ("a",), ("b",)).emit("e")  # to one
    Target(namespace(world), ("a",), (three.id,)).emit("e")  # to both: three is not in it
    Target(namespace(world), ("a", three.id), ("b", three.id)).emit("e")  # to one
    Target(namespace(world), ("nowhere",), ("a",)).emit("e")
    assert world.engine.counts.events_out - before == 4
    assert heard(world, one, two, three) == [['42["e"]'] * 3, ['42["e"]'], []]


def test_joining_twice_and_leaving_what_one_is_not_in_change_nothing() -> None:
    world = World()
    socket = world.connect()
    socket.join("a", "a")
    socket.join("a")
    assert socket.rooms == {socket.id, "a"}
    socket.leave("b")
    Target(namespace(world), ("a",)).emit("e")
    assert heard(world, socket) == [['42["e"]']]
    socket.leave("a", "a")
    assert socket.rooms == {socket.id}


def test_a_socket_id_is_a_room_that_is_never_joined_or_left() -> None:
    world = World()
    one, two = world.connect(), world.connect()
    one.join(one.id)
    assert namespace(world).rooms == {}
    one.leave(one.id)
    assert namespace(world).rooms == {}
    Target(namespace(world), (one.id,)).emit("e")
    Target(namespace(world)).except_(one.id).emit("f")
    assert heard(world, one, two) == [['42["e"]'], ['42["f"]']]


def test_the_room_of_a_socket_id_can_have_other_members_too() -> None:
    world = World()
    one, two, three = (world.connect() for _ in range(3))
    two.join(one.id)
    Target(namespace(world), (one.id,)).emit("e")
    assert heard(world, one, two, three) == [['42["e"]'], ['42["e"]'], []]


def test_who_is_in_several_rooms_gets_an_event_once() -> None:
    world = World()
    one, two, three = (world.connect() for _ in range(3))
    one.join("a", "b")
    two.join("b")
    Target(namespace(world), ("a", "b", one.id, "nobody")).emit("e")
    Target(namespace(world), ("a",)).to("b").except_("a").emit("f")
    assert heard(world, one, two, three) == [['42["e"]'], ['42["e"]', '42["f"]'], []]


def test_rooms_of_two_namespaces_have_nothing_in_common() -> None:
    world = World(static={"/admin": Handlers()})
    one = world.connect()
    two = world.connect(namespace="/admin")
    for socket in (one, two):
        socket.join("a")
    Target(namespace(world, "/admin"), ("a",)).emit("e")
    assert heard(world, one, two) == [[], ['42/admin,["e"]']]


def test_a_target_moves_and_ends_sockets_from_afar() -> None:
    world = World()
    one, two, three = (world.connect() for _ in range(3))
    target = Target(namespace(world))
    target.except_(three.id).join("a", "b")
    target.to(two.id).leave("b")
    assert (one.rooms, two.rooms, three.rooms) == (
        {one.id, "a", "b"},
        {two.id, "a"},
        {three.id},
    )
    assert asyncio.run(target.to("b").sockets()) == [one]
    target.to("a").disconnect()
    assert asyncio.run(target.sockets()) == [three]
    assert heard(world, one, two, three) == [["41"], ["41"], []]


def test_a_disconnect_handler_sees_the_rooms_and_cannot_go_back_in() -> None:
    seen: list[Any] = []

    def disconnect(socket: Socket, reason: str) -> None:
        seen.append((socket.rooms, reason, socket.connected))
        socket.join("c")
        socket.leave("a")
        socket.emit("goodbye")
        socket.disconnect()
        Target(socket.nsp, ("a",)).emit("left", socket.id)

    world = World(handlers(disconnect=disconnect))
    one, two = world.connect(), world.connect()
    for socket in (one, two):
        socket.join("a")
    world.engine.close(one.connection, "transport close")
    assert seen == [({one.id, "a"}, "transport close", False)]
    assert heard(world, two) == [[f'42["left","{one.id}"]']]
    assert set(namespace(world).rooms) == {"a"}


def test_a_disconnect_costs_the_rooms_of_that_socket_only(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    one, two = world.connect(), world.connect()
    one.join("a", "b")
    two.join(*[f"room {number}" for number in range(1_000)])
    touched: list[str] = []
    discard = Room.discard

    def counted(room: Room, socket: Socket) -> None:
        touched.append(room.name)
        discard(room, socket)

    monkeypatch.setattr(Room, "discard", counted)
    world.engine.close(one.connection, "transport close")
    assert touched == ["", "a", "b"]


def test_nothing_of_a_fanout_is_kept_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "INLINE", 0)
    world = World()
    world.hub.fanout._inline = 0
    one, two = world.connect(), world.connect()
    for socket in (one, two):
        socket.join("a", "b")
    nsp = namespace(world)
    Target(nsp, ("a", "b")).emit("e")
    Target(nsp).emit("f")
    assert len(nsp.rooms["a"].pending) == len(nsp.everyone.pending) == 1
    assert heard(world, one, two) == [['42["e"]', '42["f"]']] * 2
    assert nsp.rooms["a"].pending == nsp.rooms["b"].pending == nsp.everyone.pending == []


def test_a_client_that_has_left_gets_nothing_of_that_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also not through a Socket that somebody kept: the connection may well be there still."""

    async def e(socket: Socket) -> str:
        return "the ack of one who has left"

    world = World(static={"/admin": handlers(e=e)})
    socket = world.connect()
    admin = world.join(socket.connection, namespace="/admin")
    world.say(socket, '42/admin,7["e"]')
    world.say(socket, "41/admin,")
    before = len(world.heard(socket))
    admin.emit("e")
    admin.volatile.emit("e")
    Target(admin.nsp, (admin.id,)).emit("e")
    world.loop.turn()
    assert world.heard(socket)[before:] == []
    socket.emit("still here")
    assert world.heard(socket)[before:] == ['42["still here"]']


def test_who_was_refused_gets_nothing_through_its_socket_either() -> None:
    kept: list[Socket] = []

    def connect(socket: Socket) -> None:
        kept.append(socket)
        raise PermissionError

    world = World(handlers(connect=connect))
    connection = world.transport.open()
    world.engine.receive_text(connection, b"40")
    kept[0].emit("e")
    assert world.transport.texts(connection.fd) == ['44{"message":"internal error"}']


def test_a_socket_that_a_disconnect_handler_ends_is_not_told_twice() -> None:
    def disconnect(socket: Socket, reason: str) -> None:
        other = socket.connection.socket_in("/admin")
        if other is not None:
            other.disconnect()

    world = World(handlers(disconnect=disconnect), static={"/admin": Handlers()})
    socket = world.connect()
    world.join(socket.connection, namespace="/admin")
    fd = socket.connection.fd
    world.transport.uncork()
    world.transport.taken[fd].clear()
    socket.disconnect(close=True)
    assert world.transport.texts(fd) == ["41", "41/admin,"]


# Namespaces


def test_a_dynamic_namespace_lives_as_long_as_somebody_is_in_it() -> None:
    world = World(dynamic={re.compile(r"/room-\d+"): Handlers()})
    one, two = (world.connect(namespace="/room-1") for _ in range(2))
    nsp = one.nsp
    assert two.nsp is nsp
    world.engine.close(one.connection, "transport close")
    assert world.hub.namespaces["/room-1"] is nsp
    two.disconnect()
    assert "/room-1" not in world.hub.namespaces
    assert world.connect(namespace="/room-1").nsp is not nsp


def test_a_dynamic_namespace_goes_when_its_only_client_is_refused() -> None:
    def connect(socket: Socket) -> None:
        raise PermissionError

    world = World(dynamic={re.compile(r"/room-\d+"): handlers(connect=connect)})
    connection = world.transport.open()
    world.engine.receive_text(connection, b"40/room-1,")
    assert world.hub.namespaces == {}


def test_a_pattern_must_match_the_whole_name() -> None:
    world = World(dynamic={re.compile(r"/room-\d+"): Handlers()})
    connection = world.transport.open()
    for name in ("/room-1/x", "/room-", "/x/room-1", "/other"):
        world.engine.receive_text(connection, f"40{name},".encode())
    assert len(world.transport.texts(connection.fd)) == 4
    for packet in world.transport.texts(connection.fd):
        assert packet.endswith('{"message":"Invalid namespace"}')
    assert world.hub.namespaces == {}
