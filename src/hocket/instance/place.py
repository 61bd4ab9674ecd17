"""How a process learns that it is one of an instance's, and which."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

VARIABLE: Final = "HOCKET_PLACE"  # of the environment of such a process; users do not set it


class Place(NamedTuple):
    """A process's: its role, its number in the instance, and the fds of its socket to the
    supervisor, of the listening socket (workers only), and of the socket to the process whose
    place it takes (-1: none).
    """

    role: str
    number: int
    control: int
    listener: int = -1
    old: int = -1

    def environment(self) -> dict[str, str]:
        """What tells a process that it is this one."""
        return {**os.environ, VARIABLE: ":".join(map(str, self))}

    def files(self) -> list[int]:
        """What it inherits."""
        return [fd for fd in (self.control, self.listener, self.old) if fd >= 0]


def place_of_this() -> Place | None:
    """Which process this is; None: none of a supervisor. Told once: the processes that an app
    starts must not take themselves for one.
    """
    role, _, numbers = os.environ.pop(VARIABLE, "").partition(":")
    return Place(role, *map(int, numbers.split(":"))) if role else None
