"""A thread that computes in pure Python and never waits: the worst neighbour in a process."""

import sys
import threading


def _compute() -> None:
    number = 1
    while True:
        number = number * 1103515245 % 2147483648


def start_if_asked() -> None:
    """With `--busy` on the command line."""
    if "--busy" in sys.argv:
        threading.Thread(target=_compute, daemon=True).start()
