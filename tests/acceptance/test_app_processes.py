"""Mounted applications in processes of their own (`app_processes`), on the same port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.test_workers import lives, workers
from tests.integration.programs import Program, program
from tests.support import (
    Answer,
    Gone,
    WebSocketClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
)

APP = Path(__file__).with_name("apps_app.py")
SIZE = 100 << 20
BOUND = 130  # MB that any process may take at most while 100 go through it; it is about 75


class Served:
    """A server of some workers and app processes."""

    def __init__(self, server: Program, url: str, folder: Path) -> None:
        self.program = server
        self.url = url
        self._notes = folder / "notes"

    def noted(self, text: str) -> list[int]:
        """The process ids that noted this, in their order."""
        lines = [line.split(" ") for line in self._notes.read_text().splitlines()]
        return [int(pid) for what, pid in lines if what == text]

    @property
    def apps(self) -> list[int]:
        """Processes that run the mounted applications."""
        return [pid for pid in self.noted("up") if lives(pid)]

    @property
    def workers(self) -> list[int]:
        return [pid for pid in workers(self.program) if pid not in self.noted("up")]


@contextmanager
def serving(folder: Path, workers: int = 2, apps: int = 1, **env: str) -> Iterator[Served]:
    given = {
        "HOCKET_PORT": "0",
        "HOCKET_WORKERS": str(workers),
        "HOCKET_APP_PROCESSES": str(apps),
        "HOCKET_TEST_FOLDER": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        **env,
    }
    (folder / "main.py").write_text(APP.read_text())
    with program(sys.executable, "main.py", cwd=folder, env=given) as server:
        yield Served(server, server.url(), folder)


@asynccontextmanager
async def asking(folder: Path, apps: int = 1) -> AsyncIterator[tuple[Served, Wire]]:
    """A server, and one connection to it."""
    with serving(folder, apps=apps) as served:
        async with await Wire.to(served.url) as wire:
            yield served, wire


@asynccontextmanager
async def joined(served: Served, *users: str) -> AsyncIterator[list[WebSocketClient]]:
    """Clients, on all workers."""
    found: dict[int, WebSocketClient] = {}
    clients: list[WebSocketClient] = []
    try:
        while len(clients) < len(users) or len(found) < len(served.workers):
            client = await WebSocketClient.opened(served.url)
            clients.append(client)
            user = users[len(clients) - 1] if len(clients) <= len(users) else "more"
            await client.say(f'40{{"user":"{user}"}}', '420["who"]')
            assert (await client.text()).startswith("40")
            found[int((await client.text()).removeprefix("430[").rstrip("]"))] = client
            assert len(clients) < 200, "one worker gets all clients"
        yield clients
    finally:
        for client in clients:
            client.close()


async def get(wire: Wire, target: str, method: str = "GET") -> Answer:
    fields = ("Content-Length: 0",) if method == "POST" else ()
    await wire.send(head(wire.host, target, method, *fields))
    return await wire.answer()


@asynchronous
async def test_mounted_applications_run_where_no_clients_are(tmp_path: Path) -> None:
    with serving(tmp_path, apps=2) as served:
        assert len(served.noted("up")) == 2
        assert len(served.workers) == 2
        async with await Wire.to(served.url) as wire:
            pids = {(await get(wire, path)).json[0] for path in ("/api/pid", "/api/pid")}
            pids |= {int((await get(wire, "/old/pid")).body)}
            assert len(pids) == 1, "a connection stays where it is"
            assert pids <= set(served.apps)
            assert (await get(wire, "/api/pid")).json[1:] == ["open", "127.0.0.1", 1]
            pid, threads = (await get(wire, "/pid")).json
            assert pid in served.workers
            assert threads == 1
            assert (await get(wire, "/api/nothing")).json == {"detail": "Not Found"}
            assert (await get(wire, "/nothing")).body == b"not found\n"


@asynchronous
async def test_connections_are_spread_over_all_app_processes(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, apps=2) as served:
        wires = [await Wire.to(served.url) for _ in range(10)]
        pids = [(await get(wire, "/api/pid")).json[0] for wire in wires]
        assert sorted(pids.count(pid) for pid in served.apps) == [5, 5]
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("apps", [1, 2])
@asynchronous
async def test_a_connection_that_changes_its_mind(tmp_path: Path, apps: int) -> None:
    """Page, polling, page, another user's polling, page, then the upgrade of the first."""
    async with asking(tmp_path, apps=apps) as (served, wire):
        assert (await get(wire, "/api/pid")).json[0] in served.apps
        targets = []
        for _ in range(2):
            opened = await get(wire, "/socket.io/?EIO=4&transport=polling")
            sid = json.loads(opened.body[1:])["sid"]
            targets.append(f"/socket.io/?EIO=4&transport=polling&sid={sid}")
            await wire.send(head(wire.host, targets[-1], "POST", "Content-Length: 2") + b"40")
            assert (await wire.answer()).body == b"ok"
            assert (await get(wire, "/api/pid")).json[0] in served.apps
            assert (await get(wire, targets[-1])).body.startswith(b"40")
            assert (await get(wire, "/pid")).json[0] in served.workers
        assert (await get(wire, "/api/say/hello", "POST")).json in served.apps
        for target in targets:
            assert (await get(wire, target)).body == b'42["said","hello"]'
        client = WebSocketClient.__new__(WebSocketClient)
        client.__dict__.update(wire.__dict__)
        await client.upgrade(targets[0].replace("polling", "websocket"))
        await client.say("2probe")
        assert await client.text() == "3probe"
        await client.say("5", '420["who"]')
        assert json.loads((await client.text()).removeprefix("430"))[0] in served.workers


@asynchronous
async def test_requests_in_a_row_are_answered_in_their_order(tmp_path: Path) -> None:
    async with asking(tmp_path) as (served, wire):
        paths = ["/api/pid", "/pid", "/old/pid", "/pid", "/pid", "/api/pid"]
        await wire.send(b"".join(head(wire.host, path) for path in paths))
        answers = [await wire.answer() for _ in paths]
        found = [answer.body.strip(b"[").split(b",")[0] for answer in answers]
        apps = [str(pid).encode() for pid in served.apps]
        assert [pid in apps for pid in found] == [True, False, True, False, False, True]


@asynchronous
async def test_what_routes_do_reaches_the_clients_of_all_workers(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        async with joined(served, "ada", "bob") as clients:
            await ask(served.url, "POST", "/api/say/hello")
            for client in clients:
                assert await client.text() == '42["said","hello"]'
            users = sorted(["ada", "bob", *["more"] * (len(clients) - 2)])
            assert (await ask(served.url, "GET", "/api/users")).json == users
            asking = asyncio.create_task(ask(served.url, "GET", "/api/ask"))
            for number, client in enumerate(clients):
                event = await client.text()
                assert event.endswith('["ask"]')
                await client.say(f"43{event[2:-7]}[{number}]")
            assert (await asking).json == list(range(len(clients)))
            await ask(served.url, "POST", "/api/move/ada")
            assert await clients[0].text() == '42["said","ada is in the hall"]'
            await ask(served.url, "POST", "/api/say/again")
            assert await clients[1].text() == '42["said","again"]'
            await ask(served.url, "POST", "/api/out/ada")
            assert await clients[0].text() == "41", "not what was said in the kitchen"


@asynchronous
async def test_a_websocket_route(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        client = await WebSocketClient.to(served.url)
        async with client:
            assert (await client.upgrade("/api/echo")).status == 101
            assert int(await client.text()) in served.apps
            await client.say("hello")
            assert await client.text() == "hello"


@asynchronous
async def test_large_bodies_in_bounded_memory(tmp_path: Path) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(SIZE >> 18):
            yield bytes(1 << 18)

    with serving(tmp_path) as served:
        async with aiohttp.ClientSession(served.url) as session:
            async with session.post("/api/count", data=content()) as answer:
                assert await answer.json() == SIZE
            async with session.get(f"/api/zeros/{SIZE >> 16}") as answer:
                assert sum([len(part) async for part in answer.content.iter_any()]) == SIZE
        assert max(map(most_memory, workers(served.program))) < BOUND


def most_memory(pid: int) -> int:
    """MB that a process has taken at most."""
    most = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert most is not None
    return int(most[1]) >> 10


@asynchronous
async def test_a_killed_app_process_takes_its_requests_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        async with joined(served, "ada") as clients, await Wire.to(served.url) as wire:
            await wire.send(head(wire.host, "/api/slow/60"))
            await eventually(lambda: served.noted("slow"))
            (victim,) = served.apps
            os.kill(victim, signal.SIGKILL)
            with pytest.raises((Gone, ConnectionResetError)):
                await wire.answer()
            await clients[0].say('420["who"]')
            assert (await clients[0].text()).startswith("430")
            served.program.said("app 2 ended (signal 9); another starts in 0.0 s")
            served.program.said("app 2 is there again")
            async with await Wire.to(served.url) as again:
                assert (await get(again, "/api/pid")).json[0] not in (victim, *served.workers)
            await ask(served.url, "POST", "/api/say/hello")
            assert await clients[0].text() == '42["said","hello"]'


@asynchronous
async def test_without_an_app_process_a_mounted_path_is_unavailable(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as served:
        async with joined(served, "ada") as (client,):
            source = tmp_path / "main.py"
            source.write_text("raise SystemExit(7)\n")  # nobody comes again
            os.kill(served.apps[0], signal.SIGKILL)
            served.program.said("app 1 ended (status 7)")
            answer = await ask(served.url, "GET", "/api/pid")
            assert (answer.status, answer["retry-after"]) == (503, "1")
            assert (await ask(served.url, "GET", "/pid")).json[0] in served.workers
            await client.say('420["who"]')
            assert (await client.text()).startswith("430")
            source.write_text(APP.read_text())
            served.program.said("app 1 is there again")
            # The supervisor says so as it tells the worker, which hears of it in its own time.
            while (answer := await ask(served.url, "GET", "/api/pid")).status == 503:
                await asyncio.sleep(0.01)
            assert answer.status == 200


@asynchronous
async def test_a_reload_lets_requests_end_and_drops_none(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        async with joined(served, "ada") as clients, await Wire.to(served.url) as resting:
            assert (await get(resting, "/api/pid")).json[3] == 1
            before = served.apps
            slow = asyncio.create_task(ask(served.url, "GET", "/api/slow/1.5"))
            await eventually(lambda: served.noted("slow"))
            (tmp_path / "main.py").write_text(APP.read_text().replace("VERSION = 1", "VERSION = 2"))
            served.program.signal(signal.SIGHUP)
            versions = [0]
            async with await Wire.to(served.url) as busy:
                while versions[-1] != 2:
                    answer = await get(busy, "/api/pid")
                    assert answer.status == 200
                    versions.append(answer.json[3])
            assert (await slow).json == [before[0], 1]
            assert await clients[0].text() == '42["said","slow has ended"]'
            await eventually(lambda: not lives(before[0]))
            served.program.said("reloaded: app 1, workers 2, seconds ")
            assert served.noted("down") == before
            answer = await get(resting, "/api/pid")
            assert answer.json[0] in served.apps
            assert answer.json[3] == 2
            await eventually(lambda: len(served.workers) == 2)


@asynchronous
async def test_an_answer_that_a_client_still_reads_outlives_a_reload(tmp_path: Path) -> None:
    """All of it has left the application, and the kernel has taken a part."""
    parts = 120
    with serving(tmp_path, HOCKET_MAX_OUTBOX=str(parts << 16)) as served:
        async with await Wire.to(served.url, receive_buffer=4096) as wire:
            await wire.send(head(wire.host, f"/api/zeros/{parts}"))
            await wire.up_to(b"\r\n\r\n")
            before = served.apps
            served.program.signal(signal.SIGHUP)
            served.program.said("reloaded: app 1, workers 2, seconds ")
            assert sum([len(chunk) async for chunk in wire._chunks()]) == parts << 16
            await eventually(lambda: not lives(before[0]))


@asynchronous
async def test_metrics_add_up_app_processes(tmp_path: Path) -> None:
    async with asking(tmp_path) as (served, wire):
        for _ in range(5):
            assert (await get(wire, "/api/pid")).status == 200
        told = (await ask(served.url, "GET", "/metrics")).body.decode()
        assert re.search(r"^hocket_http_requests_total 6\.0$", told, re.MULTILINE), told


@asynchronous
async def test_everything_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        pids = workers(served.program)
        async with joined(served, "ada"):
            await ask(served.url, "GET", "/api/pid")
            served.program.signal(signal.SIGTERM)
            assert served.program.status() == 0
        assert not any(map(lives, pids))
        assert len(served.noted("down")) == 1


def test_app_processes_without_an_application_are_refused(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("from hocket import App\napp = App()\napp.run()\n")
    env = {"HOCKET_APP_PROCESSES": "1", "HOCKET_PORT": "0"}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        assert server.status() == 2
        line = "hocket: app_processes=1, but no application is mounted (app.mount): leave it out"
        assert server.errors() == [line]


@asynchronous
async def test_an_own_route_is_served_by_a_worker_whatever_else_is_asked_for(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path) as (served, wire):
        for fields in ([], ["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 1"]):
            await wire.send(head(wire.host, "/api/ours", "GET", *fields) + b"x" * bool(fields))
            assert int((await wire.answer()).body) in served.workers


@asynchronous
async def test_processes_that_disagree_over_a_mount_do_not_hand_a_request_on_for_ever(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path) as (_, wire):
        for _ in range(2):
            assert (await get(wire, "/renamed/pid")).status == 404
