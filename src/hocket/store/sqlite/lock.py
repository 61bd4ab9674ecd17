"""One process has a folder of data at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from hocket.errors import UsageError

NAME: Final = "lock"


class Lock:
    """Held until `release`, or until the process ends, however it does.

    Args:
        directory: made if it is not there, for this user alone.

    Raises: UsageError when another process has it, or when it cannot be written to.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise UsageError(f"data: {directory} is no folder") from None
        except OSError as error:
            raise UsageError(f"data: {path}: {error.strerror or error}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 20).decode(errors="replace") or "?"
            os.close(self._fd)
            raise UsageError(
                f"data: {directory} is in use by process {holder}; stop that server, or name "
                "another folder"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._fd)
