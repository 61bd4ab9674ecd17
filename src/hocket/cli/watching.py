"""`hocket run --reload`: the same command in a process of its own, again after every change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from hocket.errors import UsageError
from hocket.instance.signals import WATCHED

LOOK: Final = 200  # milliseconds between two looks at whether the server is still there


def watch(command: list[str]) -> None:
    """Run it until SIGINT or SIGTERM. A server that has ended, whose module cannot be imported
    maybe, is started again by the next change. Raises UsageError.
    """
    try:
        import watchfiles  # lazy: an extra that only development needs
    except ImportError:
        raise UsageError("--reload needs the package watchfiles: pip install watchfiles") from None
    server = _Server(command)
    changes = watchfiles.watch(
        Path.cwd(),
        watch_filter=watchfiles.PythonFilter(),
        stop_event=server.told,
        rust_timeout=LOOK,
        yield_on_timeout=True,
    )
    for changed in changes:
        if changed:
            _say(f"{_names(changed)} changed, starting anew")
            server.end()
            if not server.told.is_set():
                server.start()
        else:
            server.look()
    server.end()


class _Server:
    """The process that serves, and `told`: that it and this one are to end."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.told = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._tell)
        self.start()

    def start(self) -> None:
        self._ended = False
        self._process = subprocess.Popen(  # noqa: S603 - the command that the user gave
            self._command, env={**os.environ, WATCHED: "1"}
        )

    def look(self) -> None:
        """Say it once when it has ended by itself."""
        if not self._ended and self._process.poll() is not None:
            self._ended = True
            _say("the server has ended: waiting for a change")

    def end(self) -> None:
        """It sees to it itself that it does not take for ever."""
        self._process.terminate()
        self._process.wait()

    def _tell(self, number: int, frame: object) -> None:
        """A second one ends everything at once."""
        if self.told.is_set():
            self._process.kill()
        self.told.set()


def _names(changes: Any) -> str:
    return ", ".join(sorted({Path(path).name for _, path in changes})[:5])


def _say(text: str) -> None:
    print(f"hocket: {text}", file=sys.stderr, flush=True)
