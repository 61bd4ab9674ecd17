"""How many connections a worker may have, and how many workers that takes."""

from __future__ import annotations

import os
import resource
from typing import Final

from hocket.settings import Settings

FEW: Final = 64  # files that a worker keeps for itself, for the app, for other workers
SHARE: Final = 50  # one in so many is kept for connections that move here from other workers


def open_files() -> int:
    """Files that this process may open, after asking for as many as it may have at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard if hard != resource.RLIM_INFINITY else 1 << 20
        except (ValueError, OSError):  # macOS: "unlimited" is more than it gives
            pass
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def cores() -> int:
    """That this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def room(files: int) -> int:
    """Connections that a worker has room for with so many open files."""
    return max(1, files - FEW - files // SHARE)


def capacity_of(settings: Settings) -> int:
    """Connections that each worker may have."""
    most = room(open_files())
    wanted = settings.max_connections
    return min(most, -(-wanted // workers_for(settings))) if wanted else most


def most_of(settings: Settings) -> int:
    """Connections that a process may come to have by those that move there."""
    capacity = capacity_of(settings)
    return capacity + FEW // 2 + capacity // SHARE


def sessions_of(settings: Settings) -> int:
    """Sessions that each worker may have: some of those that poll have no connection at times, and
    those of others may have moved here.
    """
    capacity = capacity_of(settings)
    return capacity + FEW + capacity // SHARE


def workers_for(settings: Settings) -> int:
    """How many workers `max_connections` takes, at least `workers`."""
    return max(settings.workers or cores(), -(-settings.max_connections // room(open_files())))
