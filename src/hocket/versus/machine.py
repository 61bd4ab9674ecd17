"""What the kernel knows: CPU and memory of processes, other load, and what this machine is.

Linux only.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from hocket.instance import checkup

PROC = Path("/proc")
PEERS = Path(__file__).resolve().parent / "crowd"
PINNED = {  # where a version stands, and how
    "gorilla": ("go/go.mod", r"gorilla/websocket v(\S+)"),
    "centrifuge": ("go/go.mod", r"centrifugal/centrifuge v(\S+)"),
    "socketioxide": ("rust/Cargo.toml", r'socketioxide = \{ version = "=([^"]+)"'),
    "axum": ("rust/Cargo.toml", r'axum = "=([^"]+)"'),
    "python-socketio": ("python/requirements.txt", r"python-socketio==(\S+)"),
    "uvicorn": ("python/requirements.txt", r"uvicorn==(\S+)"),
    "starlette": ("python/requirements.txt", r"starlette==(\S+)"),
}
TICKS_PER_SECOND = float(os.sysconf("SC_CLK_TCK"))


class GoneError(Exception):
    """A process ended while it was looked at."""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise GoneError(f"{path} is gone") from None


def family(pid: int) -> list[int]:
    """A process and everything it started that still runs."""
    pids = [pid]
    for parent in pids:  # grows as it goes
        for task in _tasks(parent):
            pids += map(int, _read(task / "children").split())
    return pids


def cpu_ns(pid: int) -> int:
    """CPU time of a process family, at the scheduler's resolution: /proc/PID/stat has ticks of
    10 ms.
    """
    return sum(process_ns(member) for member in family(pid))


def process_ns(pid: int) -> int:
    """CPU time of one process."""
    return sum(_task_ns(task) for task in _tasks(pid))


def main_thread_ns(pid: int) -> int:
    """CPU time of a process's first thread alone."""
    return _task_ns(PROC / str(pid) / "task" / str(pid))


def waited_ns(pid: int) -> int:
    """Time that a process family has been ready to run and waited for a core."""
    return sum(_task_ns(task, 1) for member in family(pid) for task in _tasks(member))


def put_first(pid: int) -> None:
    """Before everybody else on its core, where this user may ask for that (SCHED_FIFO, sched(7)):
    what a load measures by the clock is not to wait for another load.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def tcp_bytes() -> int:
    """Memory that the kernel has for all TCP connections, both ends of those on loopback."""
    line = next(
        line for line in (PROC / "net/sockstat").read_text().splitlines() if line[:4] == "TCP:"
    )
    return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except FileNotFoundError:
        raise GoneError(f"process {pid} is gone") from None


def _task_ns(task: Path, field: int = 0) -> int:
    return int(_read(task / "schedstat").split()[field])


def memory(pid: int) -> tuple[int, int]:
    """PSS of a process family and the anonymous part of it, in bytes."""
    total = anonymous = 0
    for member in family(pid):
        fields = dict(
            line.split(":") for line in _read(PROC / str(member) / "smaps_rollup").splitlines()[1:]
        )
        total += _bytes(fields["Pss"])
        anonymous += _bytes(fields["Pss_Anon"])
    return total, anonymous


def most_memory(pid: int) -> int:
    """The most resident memory that one process ever had, in bytes."""
    lines = _read(PROC / str(pid) / "status").splitlines()
    return _bytes(dict(line.split(":", 1) for line in lines)["VmHWM"])


def _bytes(field: str) -> int:
    return int(field.split()[0]) * 1024  # "    308 kB"


def machine_seconds() -> tuple[float, float]:
    """CPU time this machine has spent since it started, and time stolen from it by its host."""
    ticks = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


def cores() -> tuple[int, int]:
    """A core for the server and one for the load; the same one if there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def raise_file_limit() -> int:
    """As many open files as this user may have, for this process and all it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def facts(build: Path) -> dict[str, str | int]:
    """What figures depend on: the machine, and the versions of everything that runs on it."""
    found: dict[str, str | int] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": checkup.python(),
    }
    found |= _programs()
    for package in ("hocket", "uvloop", "httptools", "msgspec"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | _npm_packages(build / "node") | _pinned()


def _cpu_model() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _programs() -> dict[str, str]:
    asked = {
        "node": ["node", "--version"],
        "gcc": ["gcc", "-dumpfullversion"],
        "go": ["go", "version"],
        "rust": ["rustc", "--version"],
        "wrk": ["wrk", "--version"],
    }
    return {name: _version(command) for name, command in asked.items() if shutil.which(command[0])}


def _version(command: list[str]) -> str:
    """The first number with a dot that a program says; wrk says it with status 1."""
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.[\d.]*\d", said)
    return found[0] if found else "?"


def _pinned() -> dict[str, str]:
    """The packages that peers are named for, in the versions that their builds ask for."""
    return {
        name: found[1]
        for name, (file, pattern) in PINNED.items()
        if (found := re.search(pattern, (PEERS / file).read_text()))
    }


def _npm_packages(folder: Path) -> dict[str, str]:
    """What is installed, not what should be."""
    found = {}
    for package in ("socket.io", "engine.io", "ws", "bufferutil"):
        described = folder / "node_modules" / package / "package.json"
        if described.exists():
            found[package] = str(json.loads(described.read_text())["version"])
    return found
