"""The outbox of a client whose kernel buffer is full, and the one of a client not yet let in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from hocket.hub.connection import CLOSED, LOST, Connection, StandIn
from hocket.hub.outbox import Backlog
from hocket.hub.socket import Socket
from hocket.protocol.engineio import WEBSOCKET, EncodedPacket
from tests.unit.hub.world import World

FD = 7


class Kernel:
    """Takes what the test says at each write; then all."""

    def __init__(self, *takes: int) -> None:
        self.takes = list(takes)
        self.taken = b""
        self.writes: list[int] = []

    def write(self, fd: int, data: bytes) -> int:
        assert fd == FD
        size = min(self.takes.pop(0) if self.takes else len(data), len(data))
        self.writes.append(len(data))
        if size == 0:
            raise BlockingIOError
        self.taken += data[:size]
        return size


@pytest.fixture
def connection() -> Connection:
    return World().transport.open()


def test_chunks_leave_in_order_and_small_ones_in_one_write(connection: Connection) -> None:
    box, kernel = Backlog(10_000), Kernel()
    for number in range(100):
        box.add(connection, b"%d," % number)
    assert box.write_out(kernel.write, FD)
    assert kernel.taken == b"".join(b"%d," % number for number in range(100))
    assert len(kernel.writes) == 1
    assert box.size == 0


def test_writes_are_merged_up_to_64_kib_and_no_further(connection: Connection) -> None:
    box, kernel = Backlog(10_000_000), Kernel()
    for number in range(300):
        box.add(connection, bytes([number % 256]) * 1_000)
    assert box.write_out(kernel.write, FD)
    assert kernel.taken == b"".join(bytes([number % 256]) * 1_000 for number in range(300))
    assert len(kernel.writes) == 5
    assert max(kernel.writes) < 65_536 + 1_000


@pytest.mark.parametrize("take", [1, 999, 1_000, 1_001, 65_999, 70_000])
def test_a_partial_write_goes_on_where_it_ended(connection: Connection, take: int) -> None:
    box, kernel = Backlog(10_000_000), Kernel(take, 0, take, take)
    whole = b"".join(bytes([number % 256]) * 1_000 for number in range(300))
    for at in range(0, len(whole), 1_000):
        box.add(connection, whole[at : at + 1_000])
    for _ in range(3):
        box.write_out(kernel.write, FD)
        assert box.size == len(whole) - len(kernel.taken)
    while not box.write_out(kernel.write, FD):
        pass
    assert kernel.taken == whole


def test_a_kernel_that_takes_nothing_leaves_everything(connection: Connection) -> None:
    box, kernel = Backlog(100), Kernel(0)
    box.add(connection, b"one")
    assert not box.write_out(kernel.write, FD)
    assert box.size == 3
    assert box.write_out(kernel.write, FD)
    assert kernel.taken == b"one"


def test_a_broken_pipe_is_told_to_the_caller(connection: Connection) -> None:
    def write(fd: int, data: bytes) -> int:
        raise BrokenPipeError

    box = Backlog(100)
    box.add(connection, b"one")
    with pytest.raises(BrokenPipeError):
        box.write_out(write, FD)


def test_the_bound_counts_bytes_and_is_told_once(connection: Connection) -> None:
    told: list[Connection] = []
    box = Backlog(100, told.append)
    box.add(connection, b"what is being written")
    box.add(connection, b"x" * 60)
    box.add(connection, b"x" * 40)
    assert told == []
    box.add(connection, b"x")
    box.add(connection, b"x" * 500)
    assert told == [connection]


def test_what_was_written_no_longer_counts(connection: Connection) -> None:
    told: list[Connection] = []
    box = Backlog(100, told.append)
    for _ in range(10):
        box.add(connection, b"x" * 90)
        box.write_out(Kernel().write, FD)
    assert told == []


def test_what_is_being_written_may_be_of_any_size(connection: Connection) -> None:
    """Whole, or the rest of it; what waits behind it is what counts."""
    told: list[Connection] = []
    box = Backlog(100, told.append)
    box.add(connection, b"x" * 70_000)
    box.add(connection, b"y" * 100)
    box.write_out(Kernel(1_000, 0).write, FD)
    assert told == []
    box.add(connection, b"z")
    assert told == [connection]


def test_a_volatile_packet_is_dropped_and_another_is_kept(connection: Connection) -> None:
    box, kernel = Backlog(10_000), Kernel()
    box.put(connection, EncodedPacket(b"4volatile", volatile=True))
    box.put(connection, EncodedPacket(b"4kept", [b"binary"]))
    box.write_out(kernel.write, FD)
    assert kernel.taken == EncodedPacket(b"4kept", [b"binary"]).form(WEBSOCKET)


def test_append_has_no_bound(connection: Connection) -> None:
    told: list[Connection] = []
    box = Backlog(1, told.append)
    for _ in range(10):
        box.append(b"x" * 10)
    assert (box.size, told) == (100, [])


def test_what_is_lost_or_closed_takes_nothing(connection: Connection) -> None:
    for box in (LOST, CLOSED):
        box.put(connection, EncodedPacket(b"4"))
    connection.outbox = LOST
    assert not connection.closed
    connection.outbox = CLOSED
    assert connection.closed


def test_held_packets_are_bounded_and_that_is_told_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Connection] = []
    held = StandIn(cast(Socket, SimpleNamespace(connection=connection)), 0, 100)
    connection.transport = World().transport  # from polling to WebSocket, say
    monkeypatch.setattr(connection.transport, "overflow", told.append)
    packets = [EncodedPacket(b"x" * 40, [b"y" * 10]) for _ in range(5)]
    for packet in packets[:3]:  # of which the first may be of any size
        held.put(connection, packet)
    assert told == []
    for packet in packets[3:]:
        held.put(connection, packet)
    assert told == [connection]
    assert held.packets == packets[:4]
