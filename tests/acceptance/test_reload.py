"""Reload as an operator does it, with real processes: new code underneath connected clients."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.acceptance.test_workers import lives, workers
from tests.integration.programs import Program, program
from tests.support import WebSocketClient, asynchronous, eventually

APP = """
import asyncio, os
from hocket import App, Socket

VERSION = 1
app = App(reload_timeout=20)

@app.on("connect")
def connect(socket: Socket, auth: dict) -> None:
    socket.join("all")

@app.on("version")
def version(socket: Socket) -> int:
    return VERSION

@app.on("echo")
async def echo(socket: Socket, number: int) -> int:
    return number

@app.on("shout")
def shout(socket: Socket, number: int) -> None:
    app.to("all").emit("shouted", number)

@app.on("slow")
async def slow(socket: Socket, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return VERSION

@app.on("until")
async def until(socket: Socket, path: str) -> int:
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    app.to("all").emit("shouted", -1)
    return VERSION

if __name__ == "__main__":
    app.run()
"""
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])


@contextmanager
def serving(folder: Path, count: int = 2) -> Iterator[tuple[Program, str]]:
    """Workers that run main.py of a folder, and their URL."""
    (folder / "main.py").write_text(APP)
    env = {"HOCKET_PORT": "0", "HOCKET_WORKERS": str(count), "PYTHONDONTWRITEBYTECODE": "1"}
    with program(sys.executable, "main.py", cwd=folder, env=env) as server:
        yield server, server.url()


def reload(server: Program, times: int = 1) -> None:
    """Reload, and wait until it is done for the so-manieth time."""
    server.signal(signal.SIGHUP)
    server.said("info    reloaded: ", times)


class Client:
    """A client that notes what it hears, and whether it is ever disconnected."""

    def __init__(self) -> None:
        self.socket = socketio.AsyncClient(reconnection=False)
        self.heard: list[int] = []
        self.ends = 0
        self.socket.on("shouted", self.heard.append)
        self.socket.on("disconnect", self._end)

    def _end(self, *_: Any) -> None:
        self.ends += 1

    async def call(self, event: str, *args: Any) -> Any:
        return await self.socket.call(event, *args, timeout=20)


def processes(server: Program) -> list[int]:
    """Those that serve: the workers, or the one that is a worker alone."""
    return workers(server) or [server.pid]


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_clients_notice_nothing_but_the_new_code(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, url):
        clients = [Client() for _ in range(9)]
        for at, client in enumerate(clients):
            await client.socket.connect(url, transports=TRANSPORTS[at % 3])
        before = processes(server)
        sent = 0
        slow = [asyncio.create_task(client.call("slow", 1.5)) for client in clients]
        await asyncio.sleep(0.1)
        (tmp_path / "main.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))
        server.signal(signal.SIGHUP)
        while {await client.call("version") for client in clients} != {2}:
            for client in clients:
                assert await client.call("echo", sent) == sent
                await client.socket.emit("shout", sent)
                sent += 1
        assert await asyncio.gather(*slow) == [1] * 9  # they finish in the old code
        await eventually(lambda: all(len(client.heard) >= sent for client in clients))
        await eventually(lambda: not any(lives(pid) for pid in before if pid != server.pid))
        for client in clients:
            assert sorted(client.heard) == list(range(sent))
            for at in range(9):  # in the order in which each of them shouted
                own = [number for number in client.heard if number % 9 == at]
                assert own == sorted(own)
            assert client.ends == 0
            await client.socket.disconnect()
        assert [line for line in server.errors_so_far() if "error" in line] == []


@asynchronous
async def test_a_signal_to_all_processes_of_a_unit_is_one_reload(tmp_path: Path) -> None:
    """As `systemctl kill -s HUP`, or the end of a terminal, sends it; also while processes of the
    reload before it begin.
    """
    with serving(tmp_path, 2) as (server, url):
        client = await WebSocketClient.joined(url)
        before = set(workers(server))
        os.killpg(server.pid, signal.SIGHUP)
        await eventually(lambda: set(workers(server)) - before)
        os.killpg(server.pid, signal.SIGHUP)
        server.said("info    reloaded: ", 2)
        await client.say('421["version"]')
        assert await client.text() == "431[1]"
        client.close()
        assert [line for line in server.errors_so_far() if "error" in line] == []


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_code_that_does_not_start_changes_nothing(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, url):
        client = await WebSocketClient.joined(url)
        before = processes(server)
        (tmp_path / "main.py").write_text("import nothing_of_that_name\n")
        server.signal(signal.SIGHUP)
        server.said("not reloaded: the new code does not start")
        server.said("No module named 'nothing_of_that_name'")
        await client.say('421["version"]')
        assert await client.text() == "431[1]"
        assert processes(server) == before
        (tmp_path / "main.py").write_text(APP.replace("VERSION = 1", "VERSION = 3"))
        reload(server)
        await client.say('421["version"]')
        assert await client.text() == "431[3]"
        client.close()


@asynchronous
async def test_a_handler_runs_on_over_several_reloads(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, url):
        client = await WebSocketClient.joined(url)
        await client.say(f'421["until","{tmp_path / "end"}"]', '422["version"]')
        assert await client.text() == "432[1]"
        (tmp_path / "main.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))
        for times in (1, 2, 3):
            reload(server, times)
        (tmp_path / "end").touch()
        assert await client.text() == '42["shouted",-1]'
        assert await client.text() == "431[1]"
        await eventually(lambda: len(workers(server)) == 2)
        client.close()


@asynchronous
async def test_a_new_process_that_dies_while_it_takes_over_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, 1) as (server, url):
        client = await WebSocketClient.joined(url)
        await client.say('421["slow",30]')  # the old one waits for it
        await asyncio.sleep(0.1)
        (tmp_path / "main.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))
        reload(server)
        (new,) = workers(server)
        os.kill(new, signal.SIGKILL)
        await eventually(lambda: workers(server) not in ([], [new]))
        client.close()
        client = await WebSocketClient.joined(url)
        await client.say('421["version"]')
        assert await client.text() == "431[2]"
        client.close()


def files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_many_reloads_leave_everything_as_it_was(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, url):
        clients = [await WebSocketClient.joined(url) for _ in range(10)]
        for times in (1, 2):  # after which a worker alone has become a supervisor too
            reload(server, times)
        await eventually(lambda: len(workers(server)) == count)
        files = files_of(server.pid), sorted(map(files_of, workers(server)))
        for times in range(3, 9):
            reload(server, times)
        await eventually(lambda: len(workers(server)) == count)
        await eventually(
            lambda: (files_of(server.pid), sorted(map(files_of, workers(server)))) == files
        )
        for client in clients:
            await client.say('421["version"]')
            assert await client.text() == "431[1]"
            client.close()


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_stopping_does_not_wait_for_what_a_reload_waits_for(
    tmp_path: Path, count: int
) -> None:
    with serving(tmp_path, count) as (server, url):
        client = await WebSocketClient.joined(url)
        await client.say('421["slow",30]')
        await asyncio.sleep(0.1)
        before = processes(server)
        reload(server)
        assert any(map(lives, before))
        os.kill(server.pid, signal.SIGTERM)
        assert await client.close_code() == 1001
        assert server.status() == 0
        assert not any(map(lives, before))
