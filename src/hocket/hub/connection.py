"""A Connection: one client over one transport, an Engine.IO session. And the two outboxes that need
no transport.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from hocket.protocol.engineio import EncodedPacket
from hocket.protocol.socketio import Assembler
from hocket.protocol.websocket import Receiver

if TYPE_CHECKING:
    from hocket.hub.socket import Socket


class Outbox(Protocol):
    """Where packets for a connection go that cannot be written to its fd right now."""

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        """Take a packet; one that is volatile may be dropped."""


class Transport(Protocol):
    """How bytes reach a client. One object a worker and kind; what belongs to one client is in its
    Connection.
    """

    name: str
    answers: bool  # whether clients answer heartbeats

    def backlog(self, connection: Connection, rest: bytes) -> None:
        """The kernel took no more: keep `rest` and write it when it does."""

    def lost(self, connection: Connection) -> None:
        """A write failed. Called from within a fan-out: end the connection later, not now."""

    def overflow(self, connection: Connection) -> None:
        """More waits for this client than may: from now on it gets nothing, and it ends soon."""

    def resume(self, connection: Connection) -> None:
        """Fewer handlers run than may: go on with what was held back."""

    def left(self, connection: Connection) -> None:
        """The client says that the session ends."""

    def finish(self, connection: Connection, reason: str) -> None:
        """The session ended: say goodbye as the transport does and let go of its resources."""


class Connection:
    """One client.

    `outbox` is None exactly while bytes may be written straight to `fd` in the wire form `wire`;
    that is what the fan-out asks. `mark`: up to which fan-out this connection is served. `fd` is -1
    once it is closed, and for transports without an fd of their own. `receiver`, `inbox`: an
    unfinished frame, and what has been read but not handed on. `pinged` is the wheel tick of the
    last ping, `answered` whether its pong came. `running`: handlers that wait for something.
    `held`: as many run as may, and what follows waits in `inbox`.
    """

    __slots__ = (
        "address", "answered", "assembler", "fd", "head", "held", "inbox", "mark", "opened",
        "outbox", "pinged", "receiver", "running", "secure", "sid", "sockets", "transport", "wire",
    )  # fmt: skip

    def __init__(
        self,
        sid: str,
        transport: Transport,
        wire: int,
        mark: int,
        head: bytes = b"",
        address: str = "",
        secure: bool = False,
        opened: float = 0.0,
    ) -> None:
        self.sid = sid
        self.transport = transport
        self.wire = wire
        self.mark = mark
        self.fd = -1
        self.outbox: Outbox | None = None
        self.sockets: tuple[Socket, ...] = ()
        self.receiver: Receiver | None = None
        self.inbox: Iterator[Any] | None = None
        self.assembler: Assembler | None = None
        self.head = head
        self.address = address
        self.secure = secure
        self.opened = opened
        self.pinged = 0
        self.answered = True
        self.running = 0
        self.held = False

    @property
    def closed(self) -> bool:
        return self.outbox is CLOSED

    def socket_in(self, namespace: str) -> Socket | None:
        """This client's socket in a namespace. A client is in one or two of them, so a tuple is
        smaller and faster than a dict.
        """
        for socket in self.sockets:
            if socket.nsp.name == namespace:
                return socket
        return None


class _Nowhere:
    """The outbox of a connection that takes nothing any more."""

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        """Nobody is there."""


LOST: Final = _Nowhere()  # a write failed; the session ends at the loop's next turn
CLOSED: Final = _Nowhere()


class StandIn(Connection):
    """What a socket is served through while its `connect` handler runs. It is its own outbox, and
    keeps what reaches the socket until the CONNECT answer is out. What only transports look at, it
    has not.

    Args:
        socket: that enters.
        mark: up to which fan-out it is served.
        limit: bytes that it may keep behind the first packet, which may be of any size as in other
            outboxes.

    `leaves`: whether the app has sent the socket away meanwhile, alone (False) or with its whole
    connection (True); None: it has not.
    """

    __slots__ = ("_left", "leaves", "packets")

    def __init__(self, socket: Socket, mark: int, limit: int) -> None:
        self.sid = socket.connection.sid
        self.transport = socket.connection.transport
        self.wire = socket.connection.wire
        self.mark = mark
        self.fd = -1
        self.sockets = (socket,)
        self.outbox = self
        self.packets: list[EncodedPacket] = []
        self.leaves: bool | None = None
        self._left = limit

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        if self._left < 0:  # there would be a hole in it
            return
        self.packets.append(packet)
        if len(self.packets) > 1:
            self._left -= len(packet.text) + sum(map(len, packet.attachments))
        if self._left < 0:
            connection = self.sockets[0].connection
            connection.transport.overflow(connection)  # it may have moved to another one meanwhile

    def leave(self, close: bool) -> None:
        """The last for the socket is here."""
        self.outbox = CLOSED
        self.leaves = close or bool(self.leaves)
