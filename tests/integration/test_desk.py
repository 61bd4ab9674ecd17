"""The desk in `run_dir`: an answer that there is leaves before the process becomes another."""

from __future__ import annotations

import asyncio
import os
import resource
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hocket.instance.desk import NAME, Desk
from tests.support import asynchronous, eventually, turns


def client_of(folder: Path) -> sockets.socket:
    client = sockets.socket(sockets.AF_UNIX)
    client.connect(str(folder / NAME))
    client.setblocking(False)
    return client


@asynchronous
async def test_an_answer_has_left_when_the_desk_has_finished(tmp_path: Path) -> None:
    asked: list[asyncio.Future[str]] = []

    async def reload() -> str:
        asked.append(asyncio.get_running_loop().create_future())
        return await asked[0]

    desk = Desk(str(tmp_path), {"reload": reload}, lambda emitter: None)
    desk.open()
    with client_of(tmp_path) as client:
        client.send(b'{"do": "reload"}\n')
        await eventually(lambda: asked)
        desk.leave()
        asked[0].set_result("reloaded")
        await desk.finish()
        assert client.recv(100) == b'{"done":"reloaded"}\n'  # or BlockingIOError
    desk.close()
    await turns()


@asynchronous
async def test_who_asks_for_nothing_holds_nobody_up(tmp_path: Path) -> None:
    desk = Desk(str(tmp_path), {}, lambda emitter: None)
    desk.open()
    with client_of(tmp_path):
        await eventually(lambda: len(desk._tasks) == 2)
        desk.leave()
        async with asyncio.timeout(4):  # less than a client has for its request
            await desk.finish()
    desk.close()
    await turns()


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open none."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynchronous
async def test_who_comes_while_no_file_may_be_opened_is_served_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.instance.desk.FULL", 0.01)
    loop = asyncio.get_running_loop()

    async def reload() -> str:
        return "reloaded"

    desk = Desk(str(tmp_path), {"reload": reload}, lambda emitter: None)
    desk.open()
    with sockets.socket(sockets.AF_UNIX) as client:
        client.setblocking(False)
        with no_more_files():
            client.connect(str(tmp_path / NAME))
            client.send(b'{"do": "reload"}\n')
            await asyncio.sleep(0.05)
            assert len(desk._tasks) == 1  # which goes on accepting
        assert await loop.sock_recv(client, 100) == b'{"done":"reloaded"}\n'
    desk.close()
    await turns()
