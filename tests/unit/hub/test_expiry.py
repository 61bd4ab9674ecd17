"""Sockets that end with what their clients showed."""

from __future__ import annotations

import pytest

from hocket.errors import TOKEN_EXPIRED
from hocket.hub.expiry import ROUND, TICK, Expiry
from hocket.hub.socket import CONNECTED, ENDED, Socket
from tests.unit.hub.world import World

EPOCH = 1_000_000_000  # the fake wall clock's


class Watched(World):
    def __init__(self) -> None:
        super().__init__()
        self.expiry = self.hub.expiry = Expiry(self.engine, self.hub.namespaces, 0.0)

    def arrive(self, seconds: float) -> Socket:
        """A client whose token is good for so long."""
        socket = self.connect()
        self.expiry.expect("/", socket.id, EPOCH + self.loop.now + seconds)
        return socket

    def wait(self, seconds: float) -> None:
        until = self.loop.now + seconds
        while self.loop.now < until:
            self.loop.now = min(until, self.loop.now + TICK)
            self.expiry.tick(self.loop.now)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0, 59.9, ROUND, ROUND + 1, 3 * ROUND + 0.2])
def test_on_time(seconds: float) -> None:
    world = Watched()
    socket = world.arrive(seconds)
    if seconds > TICK:
        world.wait(seconds - TICK)
        assert socket.state == CONNECTED
        assert world.expiry.end_of(socket.id) == EPOCH + seconds
    fd = socket.connection.fd
    world.wait(3 * TICK)
    assert socket.state == ENDED
    assert world.transport.texts(fd) == ['42["token-expired",{"code":"token-expired"}]']
    assert world.transport.finished == [(socket.connection, TOKEN_EXPIRED)]
    assert len(world.expiry) == 0
    assert world.expiry.end_of(socket.id) == 0.0


def test_who_left_is_forgotten() -> None:
    world = Watched()
    sockets = [world.arrive(1_000_000.0) for _ in range(50)]
    for socket in sockets[:-1]:
        socket.disconnect()
    assert len(world.expiry) == 1
    world.wait(3 * ROUND)
    assert len(world.expiry) == 1
    assert sockets[-1].state == CONNECTED


def test_a_clock_that_was_set_back_lets_nobody_go_early() -> None:
    world = Watched()
    socket = world.arrive(10.0)
    world.expiry._wall_clock = lambda: EPOCH - 1_000.0 + world.loop.now
    world.wait(60.0)
    assert socket.state == CONNECTED
    world.wait(1_000.0)
    assert socket.state == ENDED
