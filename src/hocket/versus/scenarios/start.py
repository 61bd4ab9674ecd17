"""From the start of a process to its first answer."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

from hocket.versus.platforms import Command
from hocket.versus.processes import SERVER_CORE, START_TIMEOUT, FailedError, process
from hocket.versus.scenario import Contest, Measure, Scenario, Values

BETWEEN_TRIES = 0.0002


def free_port() -> int:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _connect(port: int, server: subprocess.Popen[str]) -> socket.socket:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(BETWEEN_TRIES)
    raise FailedError("the server did not start")


def first_answer(command: Command) -> float:
    """Milliseconds from exec to the answer to the first request."""
    port = free_port()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with process([*command, str(port)], SERVER_CORE, **quiet) as running:
        began = time.perf_counter()
        with _connect(port, running) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            said = client.recv(4096)
            took = time.perf_counter() - began
    if not said.startswith(b"HTTP/1.1 200"):
        raise FailedError(f"the server answered {said[:40]!r}")
    return took * 1e3


def forget(paths: list[Path]) -> None:
    """Let the kernel drop its copies of these files; what a running process has mapped stays."""
    for path in paths:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def files_of(contest: Contest, command: Command) -> list[Path]:
    """All that a start may read."""
    if contest.key == "go":
        return [Path(command[0])]
    if contest.key == "node":
        return [Path(_which("node")), *_below(contest.maker.folder("node"))]
    packages = [Path(sysconfig.get_path("stdlib")), Path(__file__).parents[2]]
    if contest.key == "python":
        packages.append(contest.maker.folder("python"))
    else:
        packages.append(Path(sysconfig.get_path("purelib")))
    return [Path(sys.executable).resolve(), *(path for each in packages for path in _below(each))]


def _which(program: str) -> str:
    return os.path.realpath(shutil.which(program) or program)


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def start(contest: Contest) -> Values:
    command = contest.program("hello")
    first_answer(command)  # whatever is made once has been made
    warm = [first_answer(command) for _ in range(contest.size["warm"])]
    found = {"warm_ms": statistics.median(warm)}
    if contest.size["cold"]:
        paths, cold = files_of(contest, command), []
        for _ in range(contest.size["cold"]):
            forget(paths)
            cold.append(first_answer(command))
        found["cold_ms"] = statistics.median(cold)
    return found


START = Scenario(
    name="start",
    title="From the start to the first answer",
    question="How long after its start does a server answer?",
    measures={
        "warm_ms": Measure("from exec to the first answer, files in memory", "ms", least=1),
        "cold_ms": Measure("from exec to the first answer, files on disk", "ms", least=2),
    },
    run=start,
    full={"warm": 10, "cold": 3},
    quick={"warm": 3, "cold": 1},
    programs=("hello",),
    says="Cold: the kernel was told to forget the files of the program, its runtime and its "
    "packages. It keeps what another process has mapped, here the Python interpreter itself, "
    "which favours Python and Hocket.",
)
