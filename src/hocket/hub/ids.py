"""Ids of sessions and sockets: nobody can guess them, and they say which worker made them."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import Final

LENGTH: Final = 20  # characters: two name the worker, 18 are 108 random bits
MOST_WORKERS: Final = 4096
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}


class Ids:
    """Makes ids.

    Asks the kernel for many at a time: a client needs two, at 2 us each if made one by one.

    Args:
        worker: the number of the worker that makes them.
    """

    def __init__(self, worker: int = 0) -> None:
        self._prefix = _DIGITS[worker // 64] + _DIGITS[worker % 64]
        self._made: list[str] = []

    def __call__(self) -> str:
        if not self._made:
            text = urlsafe_b64encode(os.urandom(15 * 128)).decode("ascii")
            self._made = [
                self._prefix + text[at : at + LENGTH - 2] for at in range(0, len(text), LENGTH)
            ]
        return self._made.pop()


def worker_of(id: str) -> int:
    """The number of the worker that made an id; -1 for what is none."""
    if len(id) != LENGTH:
        return -1
    first, second = _VALUES.get(id[0]), _VALUES.get(id[1])
    return -1 if first is None or second is None else first * 64 + second
