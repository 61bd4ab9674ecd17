"""Sends sockets away when what their clients showed expires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from hocket.errors import TOKEN_EXPIRED
from hocket.hub.engine import Engine
from hocket.hub.heartbeat import Wheel
from hocket.hub.socket import ENDED

if TYPE_CHECKING:
    from hocket.hub.namespace import Namespace

TICK: Final = 0.5  # seconds: how late somebody may be sent away
ROUND: Final = 30.0  # seconds of the wheel; what is due later comes round again, who left does not


class Expiry:
    """Ends the connections of sockets whose tokens expire. One wheel for all of a worker; sockets
    without an end are not in it.

    A client learns of it by the event `token-expired` and by its transport's close; it comes back
    by itself with the token that its `auth` function then gives.

    Args:
        engine: whose connections end.
        namespaces: the hub's, by name.
        now: seconds, on the clock that `tick` is called with.
    """

    def __init__(self, engine: Engine, namespaces: Mapping[str, Namespace], now: float) -> None:
        self._engine = engine
        self._namespaces = namespaces
        self._wall_clock = engine.loop.wall_clock
        self._wheel: Wheel[str] = Wheel(TICK, ROUND, now)
        # By the socket's id: when, and its namespace.
        self._ends: dict[str, tuple[float, str]] = {}

    tick_seconds = TICK

    def __len__(self) -> int:
        return len(self._ends)

    def expect(self, namespace: str, id: str, expires: float) -> None:
        """End this socket then (seconds since 1970)."""
        self._ends[id] = (expires, namespace)
        self._put(id, expires)

    def forget(self, id: str) -> None:
        """It has left."""
        self._ends.pop(id, None)

    def end_of(self, id: str) -> float:
        """When a socket ends; 0: not by its token."""
        return self._ends[id][0] if id in self._ends else 0.0

    def _put(self, id: str, expires: float) -> None:
        left = min(max(0.0, expires - self._wall_clock()), ROUND)
        self._wheel.put(id, self._wheel.ticks(left))

    def tick(self, now: float) -> None:
        """Every `TICK` seconds."""
        self._look(self._wheel.advance(now))

    def _look(self, due: Iterable[str]) -> None:
        wall = self._wall_clock()
        for id in due:
            expires, name = self._ends.get(id, (0.0, ""))
            namespace = self._namespaces.get(name)
            socket = namespace.sockets.get(id) if namespace is not None else None
            if socket is None or socket.state == ENDED:
                self._ends.pop(id, None)
            elif wall < expires:
                self._put(id, expires)
            else:
                del self._ends[id]
                socket.emit(TOKEN_EXPIRED, {"code": TOKEN_EXPIRED})
                self._engine.close(socket.connection, TOKEN_EXPIRED)
