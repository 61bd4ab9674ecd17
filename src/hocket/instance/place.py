"""How a process learns that it is a worker, and which."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

VARIABLE: Final = "HOCKET_WORKER"  # of the environment of a worker; users do not set it


class Place(NamedTuple):
    """A worker's: its number, and the fds of its socket to the supervisor, of the listening socket,
    and of the socket to the process whose place it takes (-1: none).
    """

    number: int
    control: int
    listener: int
    old: int = -1

    def environment(self) -> dict[str, str]:
        """What tells a process that it is this worker."""
        return {**os.environ, VARIABLE: ":".join(map(str, self))}


def place_of_this() -> Place | None:
    """Which worker this process is; None: none of a supervisor. Told once: the processes that an
    app starts must not take themselves for a worker.
    """
    text = os.environ.pop(VARIABLE, "")
    return Place(*map(int, text.split(":"))) if text else None
