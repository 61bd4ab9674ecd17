"""That a load of several processes is one: each client counts once; who fails ends them all."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import building

FILES = 200  # a process may open; 100 of them are for itself
CLIENTS = 250  # three processes, of which the last has fewer

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def server(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The C write loop; where it serves is its first line."""
    command = [*building.c("write_loop"), "0", "--processes", str(request.param)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def port_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().rpartition(":")[2].strip()


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def load(name: str, port: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [building.load(name), port, str(CLIENTS), "raw", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=few_files,
    )


def answer(running: subprocess.Popen[str]) -> dict[str, Any]:
    assert running.stdout is not None
    found: dict[str, Any] = json.loads(running.stdout.readline())
    return found


def test_all_processes_count_together(server: subprocess.Popen[str]) -> None:
    with load("broadcast", port_of(server)) as running:
        connected = answer(running)
        assert (connected["clients"], connected["load_processes"]) == (CLIENTS, 3)
        assert running.stdin is not None
        for _ in range(2):
            running.stdin.write("\n")
            running.stdin.flush()
            told = answer(running)
            assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["last_ms"]
        _, said = running.communicate()
    assert (running.returncode, said) == (0, "")


def test_who_loses_a_connection_ends_them_all(server: subprocess.Popen[str]) -> None:
    with load("broadcast", port_of(server)) as running:
        answer(running)
        server.kill()
        server.wait()
        _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "lost a connection" in said


def test_a_storm_counts_who_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = str(nobody.getsockname()[1])
    with load("broadcast", port, "storm") as running:
        assert answer(running)["refused"] == CLIENTS
        _, said = running.communicate(timeout=30)
    assert "could not connect: Connection refused" in said
