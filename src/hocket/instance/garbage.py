"""When Python's cyclic garbage collector runs, and for how long.

Reference counting frees nearly everything at once. The collector is for cycles, and a full
collection looks at every object that it knows of: 1 ms for 1,000 clients. So whatever has turned
out to stay is taken out of its sight (`gc.freeze`), as the server starts and again while clients
come, some hundred at a time: a full collection is then about what is new, and short. What handlers
hold that run does not stay, however much it is: out of sight, each cycle that one of them leaves
would be kept.

What is out of sight is still freed by its reference count. If it becomes a cycle of garbage it
stays, until there is so much more out of sight than after the last look that a look at all of it
is due; it then waits for a quiet moment, for a while.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, Final

YOUNG: Final = 5_000  # new objects between two collections of the youngest: 0.2 ms each
MIDDLE: Final = 100  # of those between two collections of the middle generation
NEVER: Final = 1_000_000  # of those before Python would begin a full one by itself
STAY: Final = 2_500  # objects that are left of a full collection are taken out of sight ...
CAME: Final = 64  # ... if so many clients have come, whose they may be, or ...
LONG: Final = 20_000  # ... they are so many that each further look at them takes 1-2 ms, ...
OFTEN: Final = 10.0  # ... though no more often than every so many seconds, or MUCH times LONG
MORE: Final = 100_000  # objects out of sight, and half as many again: then all are looked at ...
MUCH: Final = 4  # ... in a quiet second; so many times MORE: in any case
QUIET: Final = 0.2  # cores: a second in which the process used less is quiet
SECOND: Final = 1.0  # seconds over which that is measured


def is_time(more: int, bound: int, used: float) -> bool:
    """Whether to look at everything, with so many more objects out of sight than after the last
    look, of which `bound` are no reason, and so many cores in use.
    """
    return more > (bound if used < QUIET else MUCH * bound)


class Garbage:
    """Watches the collector; `settle` takes it over.

    Args:
        clock: seconds.
        cpu: seconds that this process has computed.
        came: how many clients have come, those that have gone included.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        cpu: Callable[[], float] = time.process_time,
        came: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._came = came
        self._put_away = 0.0  # when something was last taken out of sight, and ...
        self._known = 0  # ... how many clients had come then
        self._began = self._used = self._ticked = 0.0
        self._settled = False
        self._frozen = 0  # objects out of sight; those of them that have gone may be counted still
        self._looked = 0  # as many there were after the last look at all
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
        self._look_at_all()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._used, self._ticked = self._cpu(), self._clock()
        self._settled = True
        self.longest = 0.0

    def stay(self) -> None:
        """What is there now stays, as far as anybody knows: out of sight without a look."""
        if self._settled:
            gc.freeze()
            self._frozen = gc.get_freeze_count()

    def tick(self, now: float) -> None:
        """Often: what has come since the last time is looked at in one go."""
        if not self._settled:
            return
        if now - self._ticked >= SECOND and self._is_due(self._share(now)):
            self._look_at_all()
        elif any(gc.get_count()[1:]):  # something has outlived a collection
            gc.collect()
            self._freeze_what_stays(now)

    def _share(self, now: float) -> float:
        """How many cores this process has used since this was last asked."""
        used = self._cpu()
        share = (used - self._used) / (now - self._ticked)
        self._used, self._ticked = used, now
        return share

    def _freeze_what_stays(self, now: float) -> None:
        stay, came = len(gc.get_objects(generation=2)), self._came()
        many = stay >= LONG and (now >= self._put_away + OFTEN or stay >= MUCH * LONG)
        if many or (stay >= STAY and came >= self._known + CAME):
            gc.freeze()
            self._frozen += stay
            self._known, self._put_away = came, now

    def _is_due(self, share: float) -> bool:
        bound = self._looked // 2 + MORE
        if not is_time(self._frozen - self._looked, bound, share):
            return False
        self._frozen = gc.get_freeze_count()  # walks over all: 1 ms for 70,000
        return is_time(self._frozen - self._looked, bound, share)

    def _look_at_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._frozen = self._looked = gc.get_freeze_count()
