"""Signals to the process that the user started: which of them mean an end, and that it comes."""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

TERMINAL: Final = "/dev/tty"  # of this process, whatever its streams are
STDERR: Final = 2
WATCHED: Final = (
    "HOCKET_WATCHED"  # of the environment of what `--reload` starts; users do not set it
)


@contextmanager
def ending(tell: Callable[[], None], hung_up: Callable[[], None], limit: float) -> Iterator[None]:
    """SIGHUP calls `hung_up`. SIGINT (unless `is_watched`) and SIGTERM call `tell` and mean an end
    within `limit` seconds, and a second one an end at once, also while a handler of the app holds
    the event loop: the interpreter hears them itself. What does not end is said, with where it
    stands, and cut off with status 1; so are threads of the app, for which the interpreter waits
    when it ends.
    """
    cut_off: float | None = None

    def told(number: int, frame: object) -> None:
        nonlocal cut_off
        signal.signal(number, signal.SIG_DFL)
        faulthandler.dump_traceback_later(limit, exit=True, file=STDERR)
        cut_off = time.monotonic() + limit
        tell()

    def hangs_up(number: int, frame: object) -> None:
        hung_up()

    interrupted = leave if is_watched() else told
    handlers = {signal.SIGINT: interrupted, signal.SIGTERM: told, signal.SIGHUP: hangs_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        if cut_off is not None:
            _end_interpreter_within(max(0.1, cut_off - time.monotonic()))
        for number, handler in before.items():
            if signal.getsignal(number) is handlers[number]:
                signal.signal(number, handler)


def _end_interpreter_within(seconds: float) -> None:
    """From when it begins to end: what a program does after `app.run()` takes the time it takes.
    `atexit` is too late, it comes after threads have been waited for; concurrent.futures, whose
    threads are waited for before all others, relies on the same function.
    """
    cut_off = functools.partial(faulthandler.dump_traceback_later, seconds, exit=True, file=STDERR)
    threading._register_atexit(cut_off)  # type: ignore[attr-defined]


def leave(number: int, frame: object) -> None:
    """It is for the process that started this one."""


@functools.cache
def is_watched() -> bool:
    """Whether `--reload` started this: a terminal's Ctrl-C comes to both, and is for that one,
    which sends SIGTERM. To be asked before the app's own processes are started.
    """
    return os.environ.pop(WATCHED, "") != ""


@functools.cache
def ends_with_terminal() -> bool:
    """Whether this was started from a terminal, and not with `nohup`. To be asked before there is a
    handler of SIGHUP.
    """
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()


def is_cut_off(with_terminal: bool) -> bool:
    """Whether SIGHUP says that the terminal has gone; else somebody wishes a reload."""
    return with_terminal and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:  # there was none, or it has hung up
        return False
    return True
