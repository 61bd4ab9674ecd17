"""A server in processes of its own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

START: Final = 30.0  # seconds that a server may take to start
APP: Final = Path(__file__).with_name("app.py")


class FailedError(Exception):
    """A campaign cannot go on; why."""


class Server:
    """A supervisor and its workers.

    Args:
        process: the supervisor.
        log: what it has written to standard error.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.log = log
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.address = host, int(port)

    @property
    def workers(self) -> list[int]:
        """Process ids."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in Path(children).read_text().split()]

    @property
    def files(self) -> list[int]:
        """Open files of each process."""
        return [files_of(pid) for pid in (self.process.pid, *self.workers)]

    @property
    def memory(self) -> int:
        """PSS of all processes, in KB."""
        return sum(pss_of(pid) for pid in (self.process.pid, *self.workers))

    def logged(self, text: str) -> int:
        """How many lines of the log have `text` in them."""
        return sum(text in line for line in self.log.read_text().splitlines())

    def reload(self, within: float = 120.0) -> None:
        """Reload, and wait until it is done."""
        before = self.logged("reloaded: ")
        self.process.send_signal(signal.SIGHUP)
        wait(lambda: self.logged("reloaded: ") > before, within, "a reload does not end")


@contextmanager
def serving(workers: int) -> Iterator[Server]:
    """The campaigns' app, while the block runs."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("HOCKET_")}
    env |= {"HOCKET_PORT": "0", "HOCKET_WORKERS": str(workers)}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(APP)],
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().rstrip()
            if not line.startswith("Hocket serves "):
                raise FailedError(f"the server does not start: {log.read_text()}")
            yield Server(process, line.removeprefix("Hocket serves "), log)
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """With all that it has started."""
    for number, seconds in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def wait(condition: Callable[[], object], within: float, why: str) -> float:
    """Until a condition holds; how many seconds that took. Raises FailedError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise FailedError(f"{why}, within {within:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


def lives(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def files_of(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def pss_of(pid: int) -> int:
    """In KB."""
    with suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        return int(found[1]) if found else 0
    return 0
