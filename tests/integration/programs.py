"""Programs that tests start: their lines, their end, and nothing left behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

WITHIN = 30.0  # seconds that a line or an end may take; only failing tests need them
ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
# The app that clients' tests talk to: by itself, and with FastAPI on the same port.
SERVED = [sys.executable, str(ROOT / "tests/integration/served_app.py")]
WAYS = {"alone": SERVED, "beside FastAPI": [*SERVED, "--beside"]}


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without its HOCKET_* variables, and what is `given`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HOCKET_")}
    paths = [str(SOURCE), *filter(None, [kept.get("PYTHONPATH")])]
    kept["PYTHONPATH"] = os.pathsep.join(paths)
    return {**kept, **(given or {})}


class Program:
    """A process of a test's own, in a process group of its own."""

    def __init__(self, command: list[str], cwd: Path | None, env: Mapping[str, str] | None) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._out: queue.Queue[str | None] = queue.Queue()
        self._err: list[str] = []
        self._readers = [
            self._read(self.process.stdout, self._out.put),
            self._read(self.process.stderr, lambda line: self._err.append(line) if line else None),
        ]

    def _read(self, pipe: IO[str], take: object) -> threading.Thread:
        def read() -> None:
            with pipe:
                for line in pipe:
                    take(line.rstrip("\n"))  # type: ignore[operator]
            take(None)  # type: ignore[operator]

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """The next line on its standard output."""
        try:
            line = self._out.get(timeout=WITHIN)
        except queue.Empty:
            raise AssertionError(f"no line came; on stderr: {self._err}") from None
        assert line is not None, f"the program said no more; on stderr: {self._err}"
        return line

    def lines(self) -> list[str]:
        """Everything more that it says on its standard output, until its end."""
        found = []
        while (line := self._out.get(timeout=WITHIN)) is not None:
            found.append(line)
        return found

    def url(self) -> str:
        """Wait until it serves; its URL."""
        line = self.line()
        assert line.startswith("Hocket serves http://"), line
        return line.removeprefix("Hocket serves ")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(WITHIN)

    def errors(self) -> list[str]:
        """Its lines on standard error, after its end."""
        self.status()
        self._readers[1].join(WITHIN)
        return list(self._err)

    def errors_so_far(self) -> list[str]:
        """Its lines on standard error."""
        return list(self._err)

    def said(self, text: str, times: int = 1) -> None:
        """Wait until a line on standard error, or so many of them, has `text` in it."""
        deadline = time.monotonic() + WITHIN
        while sum(text in line for line in self._err) < times:
            assert time.monotonic() < deadline, f"{text!r} is not in {self._err}"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it and what it started, if they are still there, and wait."""
        for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, WITHIN)):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait(WITHIN)
        for reader in self._readers:
            reader.join(WITHIN)


@contextmanager
def program(
    *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a command while the block runs."""
    running = Program(list(command), cwd, env)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def hocket_program(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run this Python with some arguments, such as `-m hocket serve`."""
    with program(sys.executable, *arguments, cwd=cwd, env=env) as running:
        yield running
