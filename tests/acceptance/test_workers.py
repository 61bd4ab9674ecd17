"""Several workers in processes of their own: started, joined, replaced, stopped, as an operator
does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.integration.programs import Program, program
from tests.support import Gone, PollingClient, WebSocketClient, ask, asynchronous, eventually

APP = [sys.executable, str(Path(__file__).with_name("workers_app.py"))]
WAYS = {
    "app.run": (APP, {"HOCKET_WORKERS": "3", "HOCKET_PORT": "0"}),
    "hocket run": (
        [sys.executable, "-m", "hocket", "run", "workers_app:app", "--workers=3", "--port=0"],
        {},
    ),
}


@contextmanager
def serving(way: str = "app.run") -> Iterator[tuple[Program, str]]:
    """An instance of three workers, and its URL."""
    command, env = WAYS[way]
    with program(*command, cwd=Path(__file__).parent, env=env) as server:
        yield server, server.url()


def workers(server: Program) -> list[int]:
    """Their process ids."""
    found = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def call(client: WebSocketClient, event: str) -> list[object]:
    await client.say(f'421["{event}"]')
    while not (text := await client.text()).startswith("431"):
        pass
    (answer,) = json.loads(text.removeprefix("431"))
    assert isinstance(answer, list)
    return answer


@asynccontextmanager
async def clients(url: str, count: int) -> AsyncIterator[dict[WebSocketClient, int]]:
    """Clients on at least two workers; with the process id of each one's worker."""
    found: dict[WebSocketClient, int] = {}
    try:
        while len(found) < count or len(set(found.values())) < 2:
            client = await WebSocketClient.opened(url)
            await client.say(f'40{{"user":"{len(found)}"}}')
            assert (await client.text()).startswith("40")
            pid = (await call(client, "who"))[0]
            assert isinstance(pid, int)
            found[client] = pid
            assert len(found) < 200, "one worker gets all clients"
        yield found
    finally:
        for client in found:
            client.close()


@pytest.mark.parametrize("way", WAYS)
@asynchronous
async def test_workers_are_as_one(way: str) -> None:
    with serving(way) as (server, url):
        assert len(workers(server)) == 3
        async with clients(url, 6) as found:
            assert set(found.values()) <= set(workers(server))
            everybody = sorted(str(number) for number in range(len(found)))
            for client in found:
                assert (await call(client, "who"))[1] == everybody
            await next(iter(found)).say('42["shout","all of you"]')
            for client in found:
                assert await client.text() == '42["shouted","all of you"]'


@asynchronous
async def test_no_sticky_sessions() -> None:
    """Each request comes on a connection of its own, which any worker may accept."""
    with serving() as (_, url):
        for _ in range(5):
            one = await PollingClient.opened(url)
            assert (await one.post('40{"user":"ada"}')).body == b"ok"
            await one.hear()
            for number in range(5):
                await one.post(f'42["shout",{number}]')
                assert await one.hear() == [f'42["shouted",{number}]']


@asynchronous
async def test_a_worker_that_dies_takes_its_own_clients_and_is_replaced() -> None:
    with serving() as (server, url):
        async with clients(url, 6) as found:
            victim = next(iter(found.values()))
            os.kill(victim, signal.SIGKILL)
            left = [client for client, pid in found.items() if pid != victim]
            for client, pid in found.items():
                if pid == victim:
                    with pytest.raises(Gone):
                        await client.text()
            assert len((await call(left[0], "who"))[1]) == len(left)  # type: ignore[arg-type]
            await left[0].say('42["shout","still here"]')
            for client in left:
                assert await client.text() == '42["shouted","still here"]'
            await eventually(lambda: len(workers(server)) == 3 and victim not in workers(server))
            server.said("is there again")
            new = next(pid for pid in workers(server) if pid not in found.values())
            await eventually_served_by(url, new)
        server.said(f"pid={victim}")


@asynchronous
async def test_no_worker_outlives_the_supervisor() -> None:
    """Nor one whose event loop a handler holds."""
    with serving() as (server, url):
        async with clients(url, 4) as found:
            pids = workers(server)
            await next(iter(found)).say('42["hold",60]')
            server.said("holds the loop")
            os.kill(server.pid, signal.SIGKILL)
            await eventually(lambda: not any(map(lives, pids)))


async def eventually_served_by(url: str, pid: int) -> None:
    for _ in range(500):
        if int((await ask(url, "GET", "/pid")).body) == pid:
            return
    raise AssertionError("the new worker accepts nobody")


@asynchronous
async def test_no_half_server_stays_behind() -> None:
    with serving() as (server, url):
        pids = workers(server)
        async with clients(url, 3):
            server.process.kill()
            await eventually(lambda: not any(map(lives, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@asynchronous
async def test_a_signal_stops_everything(number: signal.Signals) -> None:
    with serving() as (server, url):
        pids = workers(server)
        async with clients(url, 3) as found:
            server.signal(number)
            for client in found:
                assert await client.close_code() == 1001
        assert server.status() == 0
        assert not any(map(lives, pids))
        assert [line for line in server.errors() if "error" in line] == []


@pytest.mark.parametrize("count", ["auto", "1", "2"])
def test_the_number_of_workers(count: str) -> None:
    cores = len(os.sched_getaffinity(0))
    expected = cores if count == "auto" else int(count)
    env = {"HOCKET_WORKERS": count, "HOCKET_PORT": "0"}
    with program(*APP, cwd=Path(__file__).parent, env=env) as server:
        server.url()
        assert len(workers(server)) == (expected if expected > 1 else 0)
        if count == "auto" and cores > 1:
            server.said(f"{cores} workers: one for each core")


def test_what_is_wrong_with_an_app_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from hocket import App\napp = App(workers=4)\n"
        "@app.on_startup\ndef no(): raise RuntimeError('no database')\napp.run()\n"
    )
    with program(sys.executable, "main.py", cwd=tmp_path, env={"HOCKET_PORT": "0"}) as server:
        assert server.status() == 1
        assert server.errors().count("RuntimeError: no database") == 1
