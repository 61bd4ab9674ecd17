"""Which kinds of processes an instance consists of, as data.

A process of the user's code is the command that the user gave, run again, which finds in its
environment what it is to be (`place.py`); member.py says what each role becomes. A program of ours
gets a Place too, and says `Ready` as all do.
"""

from __future__ import annotations

import sys

import msgspec

from hocket.broker.roles import APP, DELIVERY, STORE, WORKER
from hocket.instance.limits import workers_for
from hocket.settings import Settings


class Role(msgspec.Struct, frozen=True):
    """A kind of process, and how many there are of it. All that run the user's code are joined to
    each other.

    `program` is a command of ours, without code of the user: it stays at a reload. None: the user's
    command; at a reload a new process comes for each, and the old one ends once it has finished.
    """

    name: str
    count: int = 1
    program: list[str] | None = None


def roles_of(settings: Settings) -> list[Role]:
    """In the order in which they start, each when those before it are ready. Workers stop first,
    then the others, the last one first.
    """
    counts = {WORKER: workers_for(settings), APP: settings.app_processes}
    roles = [Role(name, count) for name, count in counts.items() if count]
    if not settings.data:
        return roles
    store = [sys.executable, "-m", "hocket.instance.storing", settings.data]
    return [Role(STORE, program=store), *roles, Role(DELIVERY)]
