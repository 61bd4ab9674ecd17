"""Order and delivery of fan-outs against a model, in random histories.

The model is what a user believes: an emit reaches at once everybody who is in the room now, and
nobody else. The hub writes in slices, in between other emits, direct messages, joins, leaves, slow
readers and goodbyes; in the end, and at any moment as a prefix, every client must have got what the
model says, in that order.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hocket.hub import fanout
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from tests.unit.hub.world import World

ROOMS = ["a", "b", "c"]
HISTORIES = 2_000
STEPS = 70


class History:
    """One random history, played on the hub and on the model side by side."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(max_outbox=1_000_000)
        self.sockets: list[Socket] = []
        self.fds: dict[str, int] = {}
        self.want: dict[str, list[str]] = {}
        self.may_miss: dict[str, set[str]] = {}
        self.members: dict[str, set[str]] = {name: set() for name in ROOMS}
        self.number = 0
        for _ in range(6):
            self.connect()

    # Steps: each does the same to the hub and to the model

    def connect(self) -> None:
        socket = self.world.connect()
        self.sockets.append(socket)
        self.fds[socket.id] = socket.connection.fd
        self.want[socket.id] = []
        self.may_miss[socket.id] = set()

    def join(self) -> None:
        socket, room = self.someone(), self.random.choice(ROOMS)
        socket.join(room)
        self.members[room].add(socket.id)

    def leave(self) -> None:
        socket, room = self.someone(), self.random.choice(ROOMS)
        socket.leave(room)
        self.members[room].discard(socket.id)

    def direct(self) -> None:
        socket = self.someone()
        socket.emit("e", self.next_number())
        self.want[socket.id].append(self.text())

    def emit(self) -> None:
        """To rooms, or to everyone, or to a socket's id; but for rooms; possibly volatile."""
        names = self.random.sample(ROOMS, self.random.randint(0, 2))
        if self.random.random() < 0.2:
            names.append(self.someone().id)
        but = self.random.sample(ROOMS, self.random.choice([0, 0, 0, 1]))
        if self.random.random() < 0.2:
            but.append(self.someone().id)
        if self.random.random() < 0.3:
            sender = self.someone()
            target = (sender.to(*names) if names else sender.broadcast).except_(*but)
            but.append(sender.id)
        else:
            target = Target(self.someone().nsp, tuple(names), tuple(but))
        volatile = self.random.random() < 0.2
        (target.volatile if volatile else target).emit("e", self.next_number())
        for socket in self.sockets:
            if self.reaches(socket, names) and not (but and self.reaches(socket, but)):
                self.want[socket.id].append(self.text())
                if volatile:
                    self.may_miss[socket.id].add(self.text())

    def slow(self) -> None:
        """Somebody's kernel buffer takes a few more bytes, in the middle of a frame perhaps."""
        self.world.transport.room[self.someone().connection.fd] = self.random.randint(0, 60)

    def fast(self) -> None:
        self.world.transport.writable(self.someone().connection)

    def turn(self) -> None:
        self.world.loop.turn()

    def close(self) -> None:
        socket = self.someone()
        if len(self.sockets) > 3:
            self.world.engine.close(socket.connection, "transport close")
            self.sockets.remove(socket)
            for members in self.members.values():
                members.discard(socket.id)

    # The model

    def reaches(self, socket: Socket, names: list[str]) -> bool:
        return not names or any(
            name == socket.id or socket.id in self.members.get(name, ()) for name in names
        )

    def someone(self) -> Socket:
        return self.random.choice(self.sockets)

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def text(self) -> str:
        return f'42["e",{self.number}]'

    def got(self, id: str) -> list[str]:
        return self.world.transport.texts(self.fds[id])

    def check(self) -> None:
        """Now, and without anything being finished: each has a prefix of what it is to get."""
        for id in self.fds:
            assert follows(self.got(id), self.want[id], self.may_miss[id], whole=False)

    def finish(self) -> None:
        """Everybody reads, every slice is written: those who are still there have all of it."""
        for _ in range(200):
            self.world.loop.turn()
            for socket in self.sockets:
                self.world.transport.writable(socket.connection)
        assert not self.world.hub.fanout.active
        assert self.world.hub.fanout.pending_bytes == 0
        open_ids = {socket.id for socket in self.sockets}
        for id in self.fds:
            assert follows(self.got(id), self.want[id], self.may_miss[id], whole=id in open_ids)


def follows(got: list[str], want: list[str], may_miss: set[str], whole: bool) -> bool:
    """Whether `got` is `want`, or the beginning of it, without some of what may be missing."""
    at = 0
    for text in got:
        while at < len(want) and want[at] != text and want[at] in may_miss:
            at += 1
        if at == len(want) or want[at] != text:
            return False
        at += 1
    return not whole or all(text in may_miss for text in want[at:])


@pytest.fixture(autouse=True)
def _tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that six clients are a crowd: two members a stride, one stride a slice."""
    monkeypatch.setattr(fanout, "STRIDE", 2)
    monkeypatch.setattr(fanout, "SLICE", 0.0)
    monkeypatch.setattr(fanout, "INLINE", 1)


STEP_WEIGHTS: list[tuple[Callable[[History], None], int]] = [
    (History.emit, 30),
    (History.turn, 30),
    (History.join, 12),
    (History.leave, 8),
    (History.direct, 10),
    (History.slow, 5),
    (History.fast, 5),
    (History.close, 2),
    (History.connect, 2),
]


@pytest.mark.parametrize("block", range(10))
def test_everybody_gets_exactly_what_the_model_says_in_its_order(block: int) -> None:
    steps = [step for step, _ in STEP_WEIGHTS]
    weights = [weight for _, weight in STEP_WEIGHTS]
    for seed in range(block * HISTORIES // 10, (block + 1) * HISTORIES // 10):
        history = History(seed)
        for step in history.random.choices(steps, weights, k=STEPS):
            step(history)
        history.check()
        history.finish()


def test_slices_really_happen() -> None:
    """The histories above would prove nothing if every fan-out were done at once."""
    history = History(1)
    for socket in history.sockets:
        socket.join("a")
    history.sockets[0].to("a").emit("e", 1)
    assert len(history.world.hub.fanout.active) == 1
    history.turn()
    assert 0 < history.world.hub.fanout.active[0].at < 6


def test_frames_that_wait_for_the_same_members_leave_in_one_write() -> None:
    history = History(1)
    for socket in history.sockets:
        socket.join("a")
    nsp = history.sockets[0].nsp
    before = history.world.transport.writes
    for number in range(5):
        Target(nsp, ("a",)).emit("e", number)
    history.world.loop.settle()
    assert history.world.transport.writes - before == 6
    assert [len(history.got(socket.id)) for socket in history.sockets] == [5] * 6
