"""The one place where SQLite is written: whatever waits is applied in one transaction, committed
with one fsync, and then answered (group commit).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hocket.store.base import Conflict, Event, Operation, Progress, Released, StoreError
from hocket.store.sqlite import (  # each enters its operations into the table
    inbox,
    keys,
    outbox,
    retention,
    users,
)
from hocket.store.sqlite.events import released_after
from hocket.store.sqlite.notifications import row_of
from hocket.store.sqlite.work import CARRIERS, READS, Work

__all__ = ["Ledger", "inbox", "keys", "retention", "users"]

log = logging.getLogger("hocket")

Asked = tuple[int, Operation[Any]]  # the connection, and what it asks for

_SHARED: Final = 64  # events that are kept for those who have not had them yet
_REFUSALS: Final = (Conflict, ValueError, TypeError, OverflowError)


class Ledger:
    """A database, and what happened since it was last asked.

    Attributes:
        commits: how many transactions were written.
        seq: of the newest release.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._told: list[Event] = []
        self._touched: set[int] = set()
        self._shared: dict[tuple[int, str], Released] = {}
        self._ill = False
        self.commits = 0
        self.seq = Work(db).last_seq()

    # Operations

    def carry_out(self, asked: Sequence[Asked]) -> list[Any]:
        """All of these, in this order; for each the answer or the exception. What is returned is
        on disk.
        """
        if all(type(operation) in READS for _, operation in asked):
            return [self._read(*each) for each in asked]
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:  # locked: those who only read are served
            failed = self._not_now(error)
            return [self._read(*each) if type(each[1]) in READS else failed for each in asked]
        try:
            return self._together(asked)
        except sqlite3.Error as error:
            self._roll_back()
            if len(asked) == 1:
                return [self._not_now(error)]
        # Each for itself: what is too large for the disk does not fail its neighbours.
        return [self.carry_out([each])[0] for each in asked]

    def _read(self, owner: int, operation: Operation[Any]) -> Any:
        try:
            return CARRIERS[type(operation)](Work(self._db, owner), operation)
        except _REFUSALS as refusal:
            return _refused(refusal)
        except sqlite3.Error as error:
            return self._not_now(error)

    def _together(self, asked: Sequence[Asked]) -> list[Any]:
        """In the transaction that was begun."""
        told: list[Event] = []
        touched: set[int] = set()
        answers = [self._apply(*each, told, touched) for each in asked]
        self._db.execute("COMMIT")
        self._well_again()
        self.commits += 1
        self._told += told
        self._touched |= touched
        self.seq = Work(self._db).last_seq()
        return answers

    def _apply(
        self, owner: int, operation: Operation[Any], told: list[Event], touched: set[int]
    ) -> Any:
        """Inside a savepoint: refused, it has changed nothing."""
        work = Work(self._db, owner)
        self._db.execute("SAVEPOINT operation")
        try:
            answer = CARRIERS[type(operation)](work, operation)
        except _REFUSALS as refusal:
            self._db.execute("ROLLBACK TO operation")
            answer = _refused(refusal)
        else:
            told += work.told
            touched |= work.touched
        self._db.execute("RELEASE operation")
        return answer

    def _not_now(self, error: sqlite3.Error) -> StoreError:
        if not self._ill:  # said once, not for every operation
            log.error("the store cannot do it now: %s", error)
        self._ill = True
        return StoreError(f"the store cannot do it now: {error}")

    def _well_again(self) -> None:
        if self._ill:
            log.info("the store goes on")
        self._ill = False

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def gone(self, owner: int) -> None:
        """A connection has gone: its leases are void."""
        outbox.void_leases(Work(self._db), owner)

    # Events

    def take_told(self) -> list[Event]:
        """What was marked since the last call."""
        told, self._told = self._told, []
        return told

    def take_progress(self) -> Iterable[Progress]:
        """Of each notification whose deliveries changed since the last call."""
        touched, self._touched = self._touched, set()
        for number in sorted(touched):
            row = row_of(Work(self._db), number)
            yield Progress(
                row.id,
                row.state,
                row.delivered,
                row.failed,
                row.expired,
                row.cancelled,
                row.suppressed,
                row.pending,
            )

    @property
    def has_progress(self) -> bool:
        return bool(self._touched)

    def released(self, seq: int, user: str) -> Released | None:
        """See events.py. What was released never changes: those who keep up share one event."""
        event = self._shared.get((seq, user))
        if event is None and (event := released_after(Work(self._db), seq, user)) is not None:
            self._shared[seq, user] = event
            if len(self._shared) > _SHARED:
                del self._shared[next(iter(self._shared))]
        return event

    def close(self) -> None:
        self._db.close()


def _refused(refusal: Exception) -> Exception:
    return refusal if isinstance(refusal, Conflict) else ValueError(str(refusal))
