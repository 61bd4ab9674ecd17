"""Whom an event goes to, and what goes to many at once when much does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hocket.hub.connection import Connection
from hocket.hub.fanout import Fanout
from hocket.hub.handlers import Handlers
from hocket.hub.hub import MAX_AUTH
from hocket.hub.room import Room
from hocket.hub.target import Target
from hocket.protocol.engineio import EncodedPacket
from tests.unit.hub.world import World

ROOMS = re.compile(r"/room-\d+")


def test_what_is_no_room_is_said_where_it_is_named() -> None:
    world = World()
    socket = world.connect()
    everybody = Target(socket.nsp)
    acts: list[Any] = [
        everybody.to, everybody.except_, everybody.join, everybody.leave, socket.to, socket.join,
        socket.leave,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(TypeError, match="a room is a str, not 7"):
            act(7)


def test_the_members_of_no_room_are_not_everybody() -> None:
    world = World()
    socket = world.connect()
    friends: list[str] = []
    for to in (Target(socket.nsp).to, Target(socket.nsp).to("x").to, socket.to):
        with pytest.raises(ValueError, match="at least one room"):
            to(*friends)


def test_a_dynamic_namespace_that_came_again_is_meant_by_those_who_knew_the_first() -> None:
    world = World(dynamic={ROOMS: Handlers()})
    first = world.connect(namespace="/room-1")
    kept = Target(first.nsp)
    first.disconnect()
    second = world.connect(namespace="/room-1")
    assert second.nsp is not first.nsp
    kept.emit("to all")
    first.broadcast.emit("from one who left")
    assert world.heard(second) == ['42/room-1,["to all"]', '42/room-1,["from one who left"]']
    assert kept.select() == [second]


def test_auth_has_a_bound_and_what_is_over_it_leaves_nothing_behind() -> None:
    world = World(dynamic={ROOMS: Handlers()})
    connection = world.transport.open()
    long = b'{"token":"%b"}' % (b"x" * MAX_AUTH)
    world.engine.receive_text(connection, b"40/room-2," + long)
    (said,) = world.transport.texts(connection.fd)
    assert said == '44/room-2,{"message":"auth is over 65536 bytes"}'
    assert "/room-2" not in world.hub.namespaces
    world.join(connection, b'{"token":"%b"}' % (b"x" * (MAX_AUTH - 20)))


def test_leaving_a_room_without_a_name_leaves_the_servers_own_alone() -> None:
    class Own(Room):
        hidden = True

    world = World()
    socket = world.connect()
    own = Own("")
    own.add(socket)
    socket.joined += (own,)
    socket.join("", "x")
    socket.leave("")
    assert [room.name for room in socket.joined] == ["", "x"]
    assert socket.rooms == {socket.id, "x"}
    assert socket.id in own.members


# Much at once


def packet(letter: str, size: int) -> EncodedPacket:
    return EncodedPacket(b'42["%b"]' % (letter.encode() * size))


def test_what_comes_behind_a_cork_that_is_full_is_sent_in_its_order() -> None:
    world = World()
    socket = world.connect()
    fanout = world.engine.fanout
    fanout.send(socket.end, packet("a", 10))
    fanout.send_all(socket.end, [packet(letter, 9_000) for letter in "bcdef"])
    assert [text[4] for text in world.heard(socket)] == list("abcdef")


def test_a_full_cork_of_a_client_that_takes_no_more_becomes_its_backlog() -> None:
    world = World()
    socket = world.connect()
    world.transport.room[socket.connection.fd] = 12_000
    fanout = world.engine.fanout
    fanout.send(socket.end, packet("a", 10))
    fanout.send_all(socket.end, [packet(letter, 9_000) for letter in "bcdef"])
    world.transport.uncork()
    world.transport.writable(socket.connection)
    assert [text[4] for text in world.heard(socket)] == list("abcdef")


def test_who_waits_behind_many_for_the_same_members_is_not_counted_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    sockets = [world.connect() for _ in range(100)]
    fanout = world.engine.fanout
    fanout._inline = 0
    looks = 0
    together = fanout._together

    def count(oldest: Fanout) -> tuple[list[EncodedPacket], int]:
        nonlocal looks
        looks += 1
        return together(oldest)

    monkeypatch.setattr(fanout, "_together", count)
    for number in range(500):
        Target(sockets[0].nsp).emit("n", number)
    while fanout.active:
        world.loop.turn()
    assert looks == 1
    said = [f'42["n",{number}]' for number in range(500)]
    assert all(world.heard(socket) == said for socket in sockets)


def test_who_waits_for_one_of_many_rooms_is_written_to_without_a_look_at_all_its_rooms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    sockets = [world.connect() for _ in range(40)]
    fanout = world.engine.fanout
    fanout._inline = 0
    for at, socket in enumerate(sockets):
        socket.join(f"room-{at // 10}", "both" if at < 20 else "others")
    looks = 0
    take = fanout._take_pending

    def count(connection: Connection) -> list[EncodedPacket]:
        nonlocal looks
        looks += 1
        return take(connection)

    monkeypatch.setattr(fanout, "_take_pending", count)
    nsp = sockets[0].nsp
    for room in range(4):
        Target(nsp, (f"room-{room}",)).emit("n", room)
    while fanout.active:
        world.loop.turn()
    assert looks == 0
    writes, fanout._inline = world.transport.writes, 0
    for name in ("room-0", "both"):  # who waits for more than one gets them in one write
        Target(nsp, (name,)).emit("n", name)
    while fanout.active:
        world.loop.turn()
    assert looks == 10
    assert world.transport.writes - writes == 20
    assert world.heard(sockets[0]) == ['42["n",0]', '42["n","room-0"]', '42["n","both"]']
    assert world.heard(sockets[10]) == ['42["n",1]', '42["n","both"]']
    assert world.heard(sockets[39]) == ['42["n",3]']


def test_a_placeholder_that_names_an_attachment_again_is_no_packet() -> None:
    """Else one message of 1 MB could be sent on 33,000 times over."""
    heard: list[Any] = []
    handlers = Handlers()
    handlers.add("take", lambda socket, *args: heard.append(args))
    world = World(handlers)
    socket = world.connect()
    one, other = '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}'
    world.say(socket, f'452-["take",{other},[{one}]]')
    world.engine.receive_binary(socket.connection, b"first")
    world.engine.receive_binary(socket.connection, b"second")
    assert heard == [(b"second", [b"first"])]
    world.say(socket, f'451-["take",{one},{one}]')
    world.engine.receive_binary(socket.connection, b"first")
    assert socket.connection.closed
    assert len(heard) == 1
