"""When Python's cyclic garbage collector runs, and for how long.

Reference counting frees nearly everything at once. The collector is for cycles, and a full
collection looks at every client: 6-20 ms at 12,500 of them, 180 ms at 50,000. So what is there when
the server starts is taken out of its sight, young garbage is collected as ever (short), and full
collections wait for a quiet moment.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, Final

YOUNG: Final = 10_000  # new objects between two collections of the youngest: 0.3 ms each
MIDDLE: Final = 50  # of those between two collections of the middle generation
NEVER: Final = 1_000_000  # of those before Python would begin a full one by itself
DUE: Final = 2  # middle collections after which a full one is made in a quiet second
OVERDUE: Final = 40  # and after which it is made in any case
QUIET: Final = 0.2  # cores: a second in which the process used less is quiet


def is_time(middle: int, used: float) -> bool:
    """Whether to make a full collection, after so many middle ones, with so many cores in use."""
    return middle >= OVERDUE or (middle >= DUE and used < QUIET)


class Garbage:
    """Watches the collector; `settle` takes it over.

    Args:
        clock: seconds.
        cpu: seconds that this process has computed.
    """

    def __init__(
        self, clock: Callable[[], float], cpu: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._began = self._used = self._ticked = 0.0
        self._settled = False
        self.collections = 0
        self.paused = 0.0  # seconds, all together
        self.longest = 0.0  # seconds

    def watch(self) -> None:
        gc.callbacks.append(self._collects)

    def stop(self) -> None:
        gc.callbacks.remove(self._collects)

    def _collects(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = self._clock()
            return
        pause = self._clock() - self._began
        self.collections += 1
        self.paused += pause
        self.longest = max(self.longest, pause)

    def settle(self) -> None:
        """What is there now stays; from now on full collections are made here."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._settled = True
        self.longest = 0.0

    def tick(self, now: float) -> None:
        """Once a second or so."""
        used = self._cpu()
        share = (used - self._used) / max(now - self._ticked, 0.001)
        self._used, self._ticked = used, now
        if self._settled and is_time(gc.get_count()[2], share):
            gc.collect()
