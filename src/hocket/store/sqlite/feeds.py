"""Events to those who listen. What was released is read back from the database at each one's own
pace, so a slow one costs no memory and misses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from hocket.store.base import Event
from hocket.store.sqlite.events import position_after
from hocket.store.sqlite.ledger import Ledger

MOST_WAITING: Final = 10_000  # Marked and Progress that wait for one that does not keep up


class Feed:
    """One listener's.

    Args:
        tell: gets each event.
        has_room: whether it takes more now; the listener calls `go_on` when it has again.
        give_up: called once, when too much waits.
        after: the seq after which it begins; None: now.
    """

    def __init__(
        self,
        ledger: Ledger,
        tell: Callable[[Event], None],
        has_room: Callable[[], bool],
        give_up: Callable[[], None],
        after: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._has_room = has_room
        self._give_up = give_up
        self._waiting: deque[Event] = deque()
        self.seq = ledger.seq if after is None else min(after, ledger.seq)
        self._user = ""  # the last one in the events of an unfinished release

    def go_on(self) -> None:
        """Tell what it has not had, as far as it takes it."""
        while self._has_room():
            if self.seq < self._ledger.seq:
                self._tell_released()
            elif self._waiting:
                self._tell(self._waiting.popleft())
            else:
                break

    def _tell_released(self) -> None:
        event = self._ledger.released(self.seq, self._user)
        if event is None:  # the newest ones are not kept any more
            self.seq = self._ledger.seq
            return
        self._tell(event)
        self.seq, self._user = position_after(event)

    def add(self, event: Event) -> None:
        """Marked, Progress: after what was released before them."""
        self._waiting.append(event)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self._give_up()
