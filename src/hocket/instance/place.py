"""How a process learns that it is one of an instance's, and which."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

STOPPING: Final = 20.0  # seconds that a process may take to stop
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
    starts must not take themselves for one, nor keep the server's port when it has ended.
    """
    role, _, numbers = os.environ.pop(VARIABLE, "").partition(":")
    if not role:
        return None
    place = Place(role, *map(int, numbers.split(":")))
    for fd in place.files():
        os.set_inheritable(fd, False)
    return place


_FOR_ALL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started meanwhile do not hear SIGHUP until `leave_signals`: they would die
    of one that their supervisor takes as the wish to reload.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals() -> None:
    """Leave them to the supervisor, for which they are: Ctrl-C goes to every process of a terminal,
    as its end does, and what systemd sends to every one of a unit. The processes that an app starts
    can be ended by them as ever, which SIG_IGN, being inherited, would not let them be.
    """
    for number in _FOR_ALL:
        signal.signal(number, _leave)
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_hear_signals)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _leave(number: int, frame: object) -> None:
    """It is for the supervisor."""


_masks: Final = threading.local()  # of threads that fork: the signals they had blocked before


def _hold() -> None:
    """What comes to a child before it hears for itself is not left to the supervisor."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_ALL)


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _hear_signals() -> None:
    for number in _FOR_ALL:
        if signal.getsignal(number) is _leave:
            signal.signal(number, signal.SIG_DFL)
    _let_go()


PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def end_with_parent(seconds: float) -> None:
    """Once the process that started this one has died, this one has so many seconds left, also
    where a handler holds the event loop, which would have heard of it otherwise.
    """
    if sys.platform == "linux":
        import ctypes  # lazy: the supervisor needs none of it

        signal.signal(signal.SIGRTMIN, lambda number, frame: end_within(seconds))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGRTMIN))


def end_within(seconds: float) -> None:
    """The kernel sees to it: a thread of the app, or a loop that stands still, is no way out."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
