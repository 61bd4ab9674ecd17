"""The cork: what a turn of the event loop has to say to a client leaves at the end of that turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

MOST: Final = 16_384  # bytes that are held back for one client; more are written at once

E = TypeVar("E")


class Cork(Generic[E]):
    """Holds bytes for endpoints until `flush`.

    All that a turn has for an endpoint becomes one write, and the writes of a turn follow each
    other: a client or proxy on this machine is woken once for many of them, not once for each.

    HOT: 53,000 instead of 45,000 echoes per second (benchmarks echo, 100 clients).

    Args:
        write: writes to endpoints.
        schedule: called when the first bytes of a turn are held: `flush` must follow.
    """

    __slots__ = ("_held", "_schedule", "_write")

    def __init__(
        self,
        write: Callable[[Iterable[tuple[E, bytes]]], None],
        schedule: Callable[[], object],
    ) -> None:
        self._write = write
        self._schedule = schedule
        self._held: dict[E, bytes] = {}

    def put_first(self, end: E, data: bytes) -> None:
        """As `put`, for an endpoint for which nothing is held."""
        if not self._held:
            self._schedule()
        self._held[end] = data

    def put(self, end: E, data: bytes) -> None:
        held = self._held
        if not held:
            self._schedule()
        before = held.get(end)
        if before is None:
            held[end] = data
        elif len(before) + len(data) <= MOST:
            held[end] = before + data
        else:
            del held[end]
            self._write([(end, before + data)])

    def release(self, end: E) -> None:
        """Write now what is held for an endpoint."""
        data = self._held.pop(end, None)
        if data is not None:
            self._write([(end, data)])

    def flush(self) -> None:
        """Write everything."""
        held, self._held = self._held, {}
        self._write(held.items())
