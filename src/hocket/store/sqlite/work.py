"""What every operation of the SQLite store is carried out with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hocket.store.base import Event, Operation
from hocket.store.sqlite.queries import load

MOST: Final = 10_000  # rows of a page, and of what one operation claims
ROOM: Final = 8_388_608  # bytes of rows in an answer, but for the last; a frame has four times that
BATCH: Final = 1_000  # devices that become deliveries at a time

_SQL = load("work")


@dataclass(slots=True)
class Work:
    """One operation's.

    Attributes:
        db: in a transaction, if the operation writes.
        owner: the connection that asks; leases are its.
        told: events to tell once it is on disk, besides Released, which the database keeps.
        touched: notifications (numbers) whose deliveries have changed.
    """

    db: sqlite3.Connection
    owner: int = 0
    told: list[Event] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)

    def one(self, sql: str, *args: Any) -> Any:
        """The first row, or None."""
        return self.db.execute(sql, args).fetchone()

    def value(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.db.execute(sql, args).fetchone()
        return None if row is None else row[0]

    def rows(self, sql: str, *args: Any) -> list[Any]:
        return self.db.execute(sql, args).fetchall()

    def run(self, sql: str, *args: Any) -> int:
        """Rows changed."""
        return self.db.execute(sql, args).rowcount

    def next_number(self) -> int:
        return int(self.value(_SQL.next_number))

    def last_number(self) -> int:
        return int(self.value(_SQL.last_number))

    def last_seq(self) -> int:
        return int(self.value(_SQL.last_seq))


def page(limit: int) -> int:
    """A page's size. Raises: ValueError when it is none."""
    if not 1 <= limit <= MOST:
        raise ValueError(f"limit is from 1 to {MOST}")
    return limit


Carrier = Callable[[Work, Any], Any]
C = TypeVar("C", bound=Carrier)

CARRIERS: dict[type[Operation[Any]], Carrier] = {}
READS: set[type[Operation[Any]]] = set()


def carries(operation: type[Operation[Any]], reads: bool = False) -> Callable[[C], C]:
    """The function below carries out this operation; `reads`: and changes nothing."""

    def enter(function: C) -> C:
        CARRIERS[operation] = function
        if reads:
            READS.add(operation)
        return function

    return enter
