"""Order and delivery against a model, with everything that can come in between.

Where test_fanout_model.py has six clients of one namespace, these have `connect` handlers that
still run, several namespaces on one connection, clients that poll and move to WebSocket, broken
pipes, slow consumers, and a kernel that uses each closed fd again at once.

A history is a string of random bytes, four to a step, and a step of zeros does nothing: so one that
fails is easily shortened to the few steps that matter.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from hocket.errors import ConnectError
from hocket.hub import fanout
from hocket.hub.connection import LOST, Connection
from hocket.hub.handlers import Handlers
from hocket.hub.outbox import Backlog
from hocket.hub.socket import CONNECTED, CONNECTING, Socket
from hocket.hub.target import Target
from hocket.protocol import websocket
from hocket.protocol.engineio import POLLING, WEBSOCKET, EncodedPacket
from tests.unit.hub.fakes import Gate, handlers
from tests.unit.hub.world import FakeTransport, World

ROOMS = ("a", "b", "c")
NAMESPACES = ("/", "/plain", "/greets")
HISTORIES = 2_200
CLOSE = "(close frame)"
GOODBYES = {"forced server close", "parse error"}


class CloseFrame(EncodedPacket):
    def form(self, wire: int) -> bytes:
        return CLOSE.encode() if wire == POLLING else websocket.frame(websocket.CLOSE, b"")


class Mailbox:
    """The outbox of a client that polls."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.away = False

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        if not (packet.volatile and self.away):
            self.got.append(packet.form(POLLING).decode())


class Kernel(FakeTransport):
    """The transport, over fds of which the lowest free one is given out again."""

    cost = 0.0  # of a slice, for each write

    def write(self, fd: int, data: bytes) -> int:
        self.loop.now += self.cost
        return super().write(fd, data)

    def lowest(self) -> int:
        return next(fd for fd in itertools.count(3) if fd not in self.taken)

    def attach(self, connection: Connection) -> bytearray:
        connection.fd = self.lowest()
        self.taken[connection.fd] = bytearray()
        return self.taken[connection.fd]

    def left(self, connection: Connection) -> None:
        raise AssertionError("nobody says so")

    def finish(self, connection: Connection, reason: str) -> None:
        if reason in GOODBYES:
            self.engine.fanout.send(connection, CloseFrame(b""))
        self.engine.fanout.uncork(connection)
        if connection.fd >= 0:
            del self.taken[connection.fd]
            self.room.pop(connection.fd, None)
            self.broken.discard(connection.fd)
            connection.fd = -1


class Member:
    """The model of a socket: what it is in, and what waits for its CONNECT answer."""

    def __init__(self, socket: Socket, gate: Gate) -> None:
        self.socket = socket
        self.gate = gate
        self.refused = False
        self.rooms: set[str] = set()
        self.held: list[str] | None = []
        self.leaves: bool | None = None  # sent away while its handler runs; with the connection?


class Client:
    """The model of a connection: `want` is what it must get, in order."""

    def __init__(self, connection: Connection, mailbox: Mailbox | None) -> None:
        self.connection = connection
        self.mailbox = mailbox
        self.buffer = bytearray()
        self.want: list[str] = []
        self.may_miss: set[str] = set()
        self.members: dict[str, Member] = {}
        self.slow = False
        self.closed = False
        self.complete = False

    def got(self) -> list[str]:
        return (self.mailbox.got if self.mailbox else []) + list(texts(bytes(self.buffer)))

    def check(self) -> None:
        whole = self.complete or not self.closed
        assert follows(self.got(), self.want, self.may_miss, whole), (self.got(), self.want)


class History:
    def __init__(self, steps: bytes, seen: Counter[str]) -> None:
        self.seen = seen
        self.gates: dict[int, Gate] = {}
        self.refusing: set[Gate] = set()
        self.greetings: dict[str, str] = {}
        first = steps[0] if steps else 0
        self.world = World(
            handlers(connect=self.on_connect),
            static={"/plain": Handlers(), "/greets": handlers(connect=self.on_greet)},
            max_outbox=300 if first & 2 else 1_000_000,
        )
        self.kernel = Kernel(self.world.engine, self.world.loop)
        self.clients: list[Client] = []
        self.volatile: set[str] = set()
        self.numbers = itertools.count(1)
        for number in range(7):
            self.open(polls=number == 3)
        for client in self.clients:
            self.enter(client, NAMESPACES[1])

    # What the application does

    async def on_connect(self, socket: Socket, auth: dict[str, int]) -> None:
        gate = self.gates[auth["gate"]]
        await gate
        if gate in self.refusing:
            raise ConnectError("no")

    def on_greet(self, socket: Socket) -> None:
        number = next(self.numbers)
        self.greetings[socket.id] = event(number, "/greets")
        socket.join("a")
        socket.emit("e", number, "")

    # Steps: each does the same to the hub and to the model

    def play(self, steps: bytes) -> None:
        for at in range(1, len(steps) - 3, 4):
            kind, who, what, how = steps[at : at + 4]
            step = STEPS[kind % len(STEPS)]
            if step is not None and self.clients:
                step(self, self.clients[who % len(self.clients)], what, how)
                self.notice_ends()

    def open(self, polls: bool) -> None:
        connection = self.world.engine.open(self.kernel, WEBSOCKET, b"", "", False)
        client = Client(connection, Mailbox() if polls else None)
        if polls:
            connection.wire, connection.outbox = POLLING, client.mailbox
        else:
            client.buffer = self.kernel.attach(connection)
        self.clients.append(client)

    def step_open(self, client: Client, what: int, how: int) -> None:
        if len(self.clients) < 10:
            self.open(polls=what % 3 == 0)

    def step_enter(self, client: Client, what: int, how: int) -> None:
        self.enter(client, NAMESPACES[what % 3])

    def enter(self, client: Client, name: str) -> None:
        if name in client.members or client.connection.closed:
            return
        number, gate = next(self.numbers), Gate()
        self.gates[number] = gate
        within = "" if name == "/" else name + ","
        self.say(client, f'40{within}{{"gate":{number}}}')
        socket = client.connection.socket_in(name)
        assert socket is not None
        member = client.members[name] = Member(socket, gate)
        if name != "/":
            self.settle(client, member)  # at once, unless a task of this client has not begun yet

    def say(self, client: Client, packet: str) -> None:
        self.world.engine.receive_text(client.connection, packet.encode())

    def step_answer(self, client: Client, what: int, how: int) -> None:
        """A running `connect` handler ends at the next turn, well or not."""
        member = client.members.get("/")
        if member is not None and member.held is not None:
            if how % 4 == 0 and not member.refused:
                member.refused = True
                self.refusing.add(member.gate)
            member.gate.open()

    def step_join(self, client: Client, what: int, how: int) -> None:
        for member in pick(client, how):
            room = ROOMS[what % 3]
            member.socket.join(room)
            member.rooms.add(room)

    def step_leave(self, client: Client, what: int, how: int) -> None:
        for member in pick(client, how):
            room = ROOMS[what % 3]
            member.socket.leave(room)
            member.rooms.discard(room)

    def step_direct(self, client: Client, what: int, how: int) -> None:
        for member in pick(client, how):
            number = next(self.numbers)
            member.socket.emit("e", number, "")
            self.expect(client, member, event(number, member.socket.namespace))

    def step_emit(self, client: Client, what: int, how: int) -> None:
        """To rooms (bits 0-2), everyone (none of them), single sockets (bit 3), without rooms (bits
        4, 5) or a sender (bit 6), volatile (bit 7).
        """
        name = NAMESPACES[how % 3]
        padding = "x" * (130 if how & 128 else 0)
        names = [room for bit, room in enumerate(ROOMS) if what >> bit & 1]
        but = [room for bit, room in enumerate(ROOMS[:2], 4) if what >> bit & 1]
        member = client.members.get(name)
        if what & 8 and member is not None:
            names.append(member.socket.id)
        nsp = self.world.hub.namespace(name)
        assert nsp is not None
        target = Target(nsp, tuple(names), tuple(but))
        if what & 64 and member is not None and member.socket.connected:
            sender = member.socket
            target = (sender.to(*names) if names else sender.broadcast).except_(*but)
            but.append(member.socket.id)
        number = next(self.numbers)
        token = event(number, name, padding)
        if what & 128:
            target = target.volatile
            self.volatile.add(token)
        target.emit("e", number, padding)
        for other in self.clients:
            them = other.members.get(name)
            if them and reaches(them, names) and not (but and reaches(them, but)):
                self.expect(other, them, token)

    def expect(self, client: Client, member: Member, token: str) -> None:
        if member.leaves is not None:
            return
        (client.want if member.held is None else member.held).append(token)
        if client.slow and token in self.volatile:
            client.may_miss.add(token)

    def step_slow(self, client: Client, what: int, how: int) -> None:
        """Its kernel buffer takes a few more bytes, or it does not poll."""
        if client.connection.closed:
            return
        client.slow = True
        if client.connection.fd >= 0:
            self.kernel.room[client.connection.fd] = what % 80
        elif client.mailbox is not None:
            client.mailbox.away = True
        waiting = [token for member in client.members.values() for token in member.held or ()]
        undelivered = {*client.want, *waiting} - set(client.got())
        client.may_miss |= undelivered & self.volatile

    def step_fast(self, client: Client, what: int, how: int) -> None:
        if not client.connection.closed and client.connection.fd not in self.kernel.broken:
            self.seen["backlogs"] += isinstance(client.connection.outbox, Backlog)
            self.kernel.writable(client.connection)
            client.slow = False
            if client.mailbox is not None:
                client.mailbox.away = False

    def step_move(self, client: Client, what: int, how: int) -> None:
        """A client that polls upgrades, as transport/upgrade.py does it."""
        connection = client.connection
        if connection.outbox is client.mailbox and client.mailbox is not None:
            self.world.engine.fanout.catch_up(connection)
            client.buffer = self.kernel.attach(connection)
            connection.wire, connection.outbox = WEBSOCKET, None
            client.slow = False
            self.seen["moves"] += bool(self.world.engine.fanout.active)

    def step_turn(self, client: Client, what: int, how: int) -> None:
        connecting = [
            (client, member)
            for client in self.clients
            for member in client.members.values()
            if member.held is not None
        ]
        self.kernel.cost = fanout.SLICE * (0.3, 0.5, 1.0, 1.0)[what % 4]
        self.world.loop.turn()
        self.seen["unfinished slices"] += bool(self.world.engine.fanout.active)
        for client, member in sorted(connecting, key=lambda each: int(each[1].socket.id[3:])):
            self.settle(client, member)

    def settle(self, client: Client, member: Member) -> None:
        """The `connect` handler may have ended."""
        if member.held is None or member.socket.state == CONNECTING:
            return
        if member.leaves is not None and not member.refused:
            self.seen["sent away on the way in"] += 1
            client.want += [connected(member.socket), *member.held]
            member.held = None
            self.expect_end(client, member, member.leaves)
        elif member.socket.state == CONNECTED:
            self.seen["held packets"] += len(member.held)
            if (greeting := self.greetings.get(member.socket.id)) is not None:
                member.rooms.add("a")
                member.held.append(greeting)
            client.want += [connected(member.socket), *member.held]
            member.held = None
        elif not client.connection.closed:
            client.want.append('44{"message":"no"}')
            del client.members["/"]

    def step_client_leaves(self, client: Client, what: int, how: int) -> None:
        for member in pick(client, how):
            if member.held is None:
                self.say(client, f"41{prefix(member.socket)}")
                del client.members[member.socket.namespace]

    def step_server_ends(self, client: Client, what: int, how: int) -> None:
        """One socket, or (what is odd) the whole connection."""
        for member in pick(client, how):
            fine = not client.slow and client.connection.fd not in self.kernel.broken
            fine = fine and client.connection.outbox is not LOST  # it has overflowed: no goodbye
            close = bool(what & 1)
            member.socket.disconnect(close)
            if member.held is not None:  # goes when its handler has ended
                member.leaves = close or bool(member.leaves)
                continue
            self.expect_end(client, member, close)
            client.complete = close and fine

    def expect_end(self, client: Client, member: Member, close: bool) -> None:
        for each in list(client.members.values()) if close else [member]:
            refusal = f'44{prefix(each.socket)}{{"message":"disconnected"}}'
            goodbye = f"41{prefix(each.socket)}"
            client.want.append(goodbye if each.held is None else refusal)
            del client.members[each.socket.namespace]
        if close:
            client.want.append(CLOSE)

    def step_close(self, client: Client, what: int, how: int) -> None:
        if what % 3 == 0:
            self.seen["closed in a fan-out"] += bool(self.world.engine.fanout.active)
            self.world.engine.close(client.connection, "transport close")

    def step_break(self, client: Client, what: int, how: int) -> None:
        """The next write to it fails."""
        if what % 3 == 0 and client.connection.fd >= 0:
            self.kernel.broken.add(client.connection.fd)

    def notice_ends(self) -> None:
        """Connections that ended leave the rooms, whoever ended them."""
        for client in [client for client in self.clients if client.connection.closed]:
            client.closed = True
            client.members.clear()
            client.check()
            self.clients.remove(client)

    # The end

    def finish(self) -> None:
        """Everybody reads, every handler ends, every slice is written."""
        for client in self.clients:
            self.step_answer(client, 0, 1)
        for _ in range(300):
            for client in tuple(self.clients):
                self.step_fast(client, 0, 0)
            if not self.world.loop.deferred and not any(
                member.held is not None
                for client in self.clients
                for member in client.members.values()
            ):
                break
            self.step_turn(Client(Connection("", self.kernel, 0, 0), None), 0, 0)
            self.notice_ends()
        assert not self.world.errors
        assert not self.world.engine.fanout.active
        assert self.world.engine.fanout.pending_bytes == 0
        for client in self.clients:
            if client.connection.fd not in self.kernel.broken:
                client.check()


STEPS = [
    None,
    *[History.step_emit] * 10,
    *[History.step_turn] * 5,
    *[History.step_join] * 4,
    *[History.step_enter] * 4,
    *[History.step_leave] * 2,
    *[History.step_direct] * 3,
    *[History.step_answer] * 3,
    *[History.step_slow] * 2,
    *[History.step_fast] * 2,
    History.step_open,
    History.step_move,
    History.step_client_leaves,
    History.step_server_ends,
    History.step_close,
    History.step_break,
]


def pick(client: Client, how: int) -> list[Member]:
    """One of a client's sockets, if it has any."""
    members = list(client.members.values())
    return [members[how % len(members)]] if members else []


def event(number: int, namespace: str, padding: str = "") -> str:
    within = "" if namespace == "/" else namespace + ","
    return f'42{within}["e",{number},"{padding}"]'


def prefix(socket: Socket) -> str:
    return "" if socket.namespace == "/" else socket.namespace + ","


def connected(socket: Socket) -> str:
    return f'40{prefix(socket)}{{"sid":"{socket.id}"}}'


def reaches(member: Member, names: list[str]) -> bool:
    return not names or any(name in member.rooms or name == member.socket.id for name in names)


def texts(data: bytes) -> Iterator[str]:
    """Whole frames of what a server wrote. Bytes of one inside another cannot pass: each frame
    must begin where the last one ended, and have a payload that somebody sent.
    """
    at = 0
    while len(data) - at >= 2:
        assert data[at] in (0x81, 0x88), f"not the head of a frame: {data[at : at + 16]!r}"
        length, start = data[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        assert length < 2_000
        if len(data) < start + length:
            return
        yield CLOSE if data[at] == 0x88 else data[start : start + length].decode()
        at = start + length


def follows(got: list[str], want: list[str], may_miss: set[str], whole: bool) -> bool:
    """Whether `got` is `want`, or the beginning of it, but for what may be missing."""
    left = iter(want)
    for token in got:
        for wanted in left:
            if wanted == token:
                break
            if wanted not in may_miss:
                return False
        else:
            return False
    return not whole or all(token in may_miss for token in left)


def fails(steps: bytes, seen: Counter[str]) -> str:
    """What is wrong with a history; empty if it went as it should."""
    history = History(steps, seen)
    try:
        history.play(steps)
        history.finish()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for task in history.world.loop.tasks:
            task.coroutine.close()
    return ""


def shortest(steps: bytes) -> str:
    """The steps without which a failing history would not fail."""
    at = 1
    while at < len(steps) - 3:
        without = steps[:at] + bytes(4) + steps[at + 4 :]
        if steps[at : at + 4] != bytes(4) and fails(without, Counter()):
            steps, at = without, 1
        else:
            at += 4
    taken = [steps[at : at + 4] for at in range(1, len(steps) - 3, 4)]
    named = [(STEPS[kind % len(STEPS)], rest) for kind, *rest in taken]
    lines = [f"{step.__name__} {rest}" for step, rest in named if step is not None]
    return "\n".join([f"begin {steps[0] & 3}", *lines])


def test_everybody_gets_exactly_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "STRIDE", 1)
    monkeypatch.setattr(fanout, "INLINE", 1)
    seen: Counter[str] = Counter()
    for seed in range(HISTORIES):
        steps = Random(seed).randbytes(361)
        if wrong := fails(steps, seen):
            pytest.fail(f"history {seed}, shortened:\n{shortest(steps)}\n{wrong}")
    # The histories would prove nothing if none of this happened in them.
    assert seen["unfinished slices"] > HISTORIES // 2
    for name in (
        "held packets",
        "backlogs",
        "closed in a fan-out",
        "moves",
        "sent away on the way in",
    ):
        assert seen[name] > 100, (name, seen)
