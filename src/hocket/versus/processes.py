"""Programs on one core, gone when their block ends or when this process does."""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from hocket.versus import machine

Answer = dict[str, Any]

START_TIMEOUT = 30.0  # until a server says where it serves
AFTER_START = 0.4  # what a server does after that line belongs to nobody's figures
GRACE = 10.0  # for a load to end by itself
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None)  # here, because little may be done between fork and exec
SERVER_CORE, LOAD_CORE = machine.cores()


orphaned = (
    0  # nanoseconds of CPU of processes whose parent was killed before them: nobody waits for them
)


class FailedError(Exception):
    """A run did not come to its end; the message says why, `values` what it had found by then."""

    def __init__(self, why: str, values: Mapping[str, float] | None = None) -> None:
        super().__init__(why)
        self.values = dict(values or {})


@contextmanager
def process(command: Sequence[str], *cores: int, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """A program on some cores, gone at the end of the block, or when this process is."""

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, cores)

    running = subprocess.Popen(command, text=True, preexec_fn=prepare, env=environment(), **streams)
    try:
        yield running
    finally:
        _count_orphans(running.pid)
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a line that it did not live to read
                    pipe.close()


def _count_orphans(pid: int) -> None:
    """The workers of a server, before it is killed and they with it."""
    global orphaned
    with suppress(machine.GoneError):  # it has ended by itself
        orphaned += machine.cpu_ns(pid) - machine.process_ns(pid)


def environment() -> dict[str, str]:
    """Ours, without what somebody set for servers of their own."""
    theirs = ("HOCKET_", "NODE_OPTIONS", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "PYTHONPATH")
    mine = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {**mine, "NODE_ENV": "production"}


@dataclass(frozen=True)
class Running:
    """A server that says where it serves."""

    pid: int
    port: int


@contextmanager
def started(
    command: Sequence[str], *flags: str, cores: Sequence[int] = (SERVER_CORE,)
) -> Iterator[Running]:
    """A fresh server on a port of its choice, on the servers' core."""
    with (
        tempfile.TemporaryFile() as output,
        process([*command, "0", *flags], *cores, stdin=subprocess.DEVNULL, stdout=output) as server,
    ):
        port = _port_of(server, output)
        time.sleep(AFTER_START)
        yield Running(server.pid, port)


def _port_of(server: subprocess.Popen[str], output: IO[bytes]) -> int:
    """Wait for the line in which a server says where it serves."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        ended = server.poll() is not None
        said = os.pread(output.fileno(), 65536, 0).decode(errors="replace")
        if found := re.search(r":(\d+)\s*$", said.partition("\n")[0] if "\n" in said else ""):
            return int(found[1])
        if ended:
            raise FailedError(f"the server ended with status {server.returncode}")
        time.sleep(0.02)
    raise FailedError(f"the server did not say within {START_TIMEOUT:.0f} s where it serves")


class Load:
    """A load generator, a step at a time. It watches for a stall itself."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.pid = running.pid
        self._running = running

    def say(self, line: str) -> None:
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(f"{line}\n")
            self._running.stdin.flush()
        except BrokenPipeError:
            raise FailedError("the load generator gave up, see above") from None

    def answer(self) -> Answer:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise FailedError("the load generator gave up, see above")
        answer: Answer = json.loads(line)
        return answer

    def has_answered(self) -> bool:
        """Whether there is an answer to be read."""
        assert self._running.stdout is not None
        return bool(select.select([self._running.stdout], [], [], 0)[0])

    def ask(self, line: str) -> Answer:
        self.say(line)
        return self.answer()

    def finish(self) -> None:
        """Let it come to its end. Raises FailedError."""
        assert self._running.stdin is not None
        self._running.stdin.close()
        if self._running.wait(timeout=GRACE):
            raise FailedError("the load generator gave up, see above")


@contextmanager
def loading(program: str, *arguments: object) -> Iterator[Load]:
    """A load generator on the loads' core."""
    command = [program, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(command, LOAD_CORE, **pipes) as running:
        yield Load(running)
