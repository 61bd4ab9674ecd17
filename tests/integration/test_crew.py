"""The processes of an instance when they cannot be started, or end as soon as they have: real
processes, which are no servers.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hocket.broker.channel import close_files
from hocket.broker.roles import WORKER
from hocket.instance.control import Message, Open, Ready, encode
from hocket.instance.crew import Crew
from hocket.instance.desk import Refused
from hocket.instance.hand import Hand
from hocket.instance.reloading import Reloader
from hocket.instance.roles import Role
from tests.support import asynchronous, eventually

ROLE = Role(WORKER)


@asynccontextmanager
async def crew_of(program: Path) -> AsyncIterator[Crew]:
    """A crew whose processes are a program that may be there or not."""
    with sockets.socket() as listener:
        crew = Crew([ROLE], [str(program)], listener)
        crew.serving = True
        try:
            yield crew
        finally:
            crew.stopping = True
            crew.kill()
            await eventually(lambda: not _look(crew))


def _look(crew: Crew) -> bool:
    crew.look()
    return bool(crew.everybody())


def write(program: Path) -> None:
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)


@asynchronous
async def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hocket.instance.crew.SLOWEST", 0.05)
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        first = crew.launch(ROLE, 0)
        crew.hands[0] = first
        program.unlink()
        first.process.kill()
        await eventually(lambda: not _look(crew) and "worker 0 cannot start" in caplog.text)
        assert crew.hands == {}
        assert crew.free_number() == 1  # its number waits for it
        write(program)
        await eventually(lambda: 0 in crew.hands)
        assert crew.hands[0].process.pid != first.process.pid


@asynchronous
async def test_one_that_ends_between_ready_and_the_first_client_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        crew.serving = False  # as while the processes of other roles start
        first = crew.hands[0] = crew.launch(ROLE, 0)
        first.ready.set_result(True)
        first.process.kill()
        await eventually(lambda: _look(crew) and crew.hands[0] is not first)
        assert "worker 0 ended (signal 9)" in caplog.text


@asynchronous
async def test_clients_are_let_in_by_processes_that_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by one that has come for another, while its `on_startup` runs."""
    told: list[int] = []

    def tell(hand: Hand, message: Message, *files: int) -> None:
        close_files(files)
        if isinstance(message, Open):
            told.append(hand.number)

    monkeypatch.setattr(Hand, "tell", tell)
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        crew.serving = False
        crew.hands = {number: crew.launch(ROLE, number) for number in range(2)}
        crew.hands[0].ready.set_result(True)
        crew.serve()
        assert told == [0]
        crew.hands[1]._received(encode(Ready()), [])
        assert told == [0, 1]


@asynchronous
async def test_a_reload_whose_process_cannot_be_started_leaves_all_as_it_was(
    tmp_path: Path,
) -> None:
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        hand = crew.hands[0] = crew.launch(ROLE, 0)
        hand.ready.set_result(True)
        await eventually(lambda: b"sleep" in Path(f"/proc/{hand.process.pid}/cmdline").read_bytes())
        program.unlink()
        reloader = Reloader(crew, 5.0)
        for _ in range(2):  # and it can be asked again
            with pytest.raises(Refused, match=r"no process can be started .*No such file"):
                await asyncio.wait_for(reloader.reload(), 10)
        assert crew.everybody() == [hand]
        assert hand.process.poll() is None


@asynchronous
async def test_emitters_do_not_pile_up_for_a_worker_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hocket.instance.hand.LIMIT", 20_000)
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        crew.hands = {number: crew.launch(ROLE, number) for number in range(2)}
        for hand in crew.hands.values():
            hand.ready.set_result(True)
        others = []
        for _ in range(10):  # in one turn: none has read anything
            ours, theirs = sockets.socketpair()
            others.append(theirs)
            crew.hear(ours)
        assert all(hand.channel.full for hand in crew.hands.values())
        assert all(hand.channel.pending < 30_000 for hand in crew.hands.values())
        assert caplog.text.count("an Emitter is turned away") == 4
        for theirs in others[6:]:
            assert theirs.recv(1) == b""
        for theirs in others:
            theirs.close()


@asynchronous
async def test_a_role_that_does_not_stop_in_time_is_killed_and_no_other(tmp_path: Path) -> None:
    program = tmp_path / "app"
    write(program)
    async with crew_of(program) as crew:
        slow, other = crew.launch(ROLE, 0), crew.launch(Role("app"), 1)
        crew.hands = {0: slow, 1: other}
        crew.stopping = True
        stopping = asyncio.create_task(crew.stop(WORKER, 0.05))
        await eventually(lambda: not _look(crew) or stopping.done())
        assert other.process.poll() is None
