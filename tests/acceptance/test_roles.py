"""Processes that are no workers: when they start, stop, are replaced and renewed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_workers import lives, workers
from tests.integration.programs import Program, program
from tests.support import asynchronous, eventually

APP = Path(__file__).with_name("roles_app.py")


class Notes:
    """What the processes have noted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[list[str]]:
        return [line.split(" ") for line in self._path.read_text().splitlines()]

    def of(self, role: str, what: str) -> list[int]:
        """The process ids of a role that noted this, in their order."""
        found = [line for line in self.lines() if line[0] == role and " ".join(line[2:]) == what]
        return [int(line[1]) for line in found]

    def at(self, text: str) -> list[int]:
        """Where lines with this text are."""
        return [at for at, line in enumerate(self.lines()) if text in " ".join(line)]


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[Program, Notes]]:
    path = tmp_path / "notes"
    with program(sys.executable, str(APP), env={"HOCKET_TEST_NOTES": str(path)}) as server:
        server.url()
        yield server, Notes(path)


@asynchronous
async def test_roles_start_in_their_order_and_end_after_the_workers(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, notes):
        assert len(workers(server)) == 4
        assert [line[0] for line in notes.lines()][:2] == ["own", "hooks"]
        extras = notes.of("extra", "begins")
        assert len(extras) == 2
        await eventually(lambda: sorted(notes.of("extra", "Open")) == sorted(extras))
        server.signal(signal.SIGTERM)
        assert server.status() == 0
        worker = notes.lines()[1][1]
        stopped, extra, own = notes.at(f"hooks end {worker}"), notes.at("ends, "), notes.at("ends")
        assert stopped[0] < extra[0] < extra[1] < own[-1]
        assert len(extra) == 2
        assert notes.lines()[-1][0] == "own"
        assert "error" not in " ".join(server.errors())


@asynchronous
async def test_a_reload_renews_user_code_and_keeps_ours(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, notes):
        before = notes.of("extra", "begins")
        server.signal(signal.SIGHUP)
        server.said("reloaded: extra 2, workers 1, seconds ")
        await eventually(lambda: not any(map(lives, before)))
        after = notes.of("extra", "begins")[2:]
        assert len(after) == 2
        assert sorted(notes.of("extra", "Retire")) == sorted(before)
        for old, new in zip(before, after, strict=True):  # the new one was known to all before
            assert notes.at(f"extra {new} Open") < notes.at(f"extra {old} Retire")
        assert len(notes.of("own", "begins")) == 1
        await eventually(lambda: len(workers(server)) == 4)


@pytest.mark.parametrize("role", ["own", "extra"])
@asynchronous
async def test_one_that_dies_is_replaced(tmp_path: Path, role: str) -> None:
    with serving(tmp_path) as (server, notes):
        begun = notes.of(role, "begins")
        os.kill(begun[0], signal.SIGKILL)
        server.said(f"{role} ")
        server.said("ended (signal 9); another starts in 0.0 s")
        server.said("is there again")
        assert len(notes.of(role, "begins")) == len(begun) + 1
        await eventually(lambda: len(workers(server)) == 4)


@asynchronous
async def test_all_end_with_the_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        pids = workers(server)
        server.process.kill()
        await eventually(lambda: not any(map(lives, pids)))
