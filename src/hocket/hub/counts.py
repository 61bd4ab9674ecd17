"""What the hub counts of itself; the metrics read it."""

from __future__ import annotations

from collections import Counter


class Counts:
    """Since the worker began. `bytes_out` is what was handed to the kernel or to an outbox."""

    __slots__ = ("bytes_out", "closed", "events_in", "events_out", "opened")

    def __init__(self) -> None:
        self.events_in = 0
        self.events_out = 0  # one for each socket that an event went to
        self.bytes_out = 0
        self.opened: Counter[str] = Counter()  # sessions by transport
        self.closed: Counter[str] = Counter()  # sessions by reason
