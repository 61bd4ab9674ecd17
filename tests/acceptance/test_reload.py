"""Reload as an operator does it, with real processes: new code underneath connected clients."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import operator
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.acceptance.test_workers import lives, workers
from tests.integration.programs import SOURCE, Program, program
from tests.support import WebSocketClient, ask, asynchronous, eventually

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
# Handlers that run when it stops have half a second instead of five.
HASTY = "import hocket.instance.worker\nhocket.instance.worker.SHUTDOWN = 0.5\n" + APP
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])


@contextmanager
def serving(
    folder: Path, count: int = 2, source: str = APP, **more: str
) -> Iterator[tuple[Program, str]]:
    """Workers that run main.py of a folder, and their URL."""
    (folder / "main.py").write_text(source)
    env = {"HOCKET_PORT": "0", "HOCKET_WORKERS": str(count), "PYTHONDONTWRITEBYTECODE": "1", **more}
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


# A `connect` handler that runs holds up the move for a second. What has started says so in `up`.
UNDER_WAY = APP.replace(
    "def connect(socket: Socket, auth: dict) -> None:",
    "async def connect(socket: Socket, auth: dict) -> None:\n"
    '    await asyncio.sleep(auth.get("wait", 0))',
).replace(
    "if __name__",
    """
@app.on_startup
async def start() -> None:
    with open("up", "a") as up:
        up.write("+")

if __name__""",
)
DIES = UNDER_WAY.replace(
    "async def start() -> None:",
    "async def start() -> None:\n    asyncio.get_running_loop().call_later(0.4, os._exit, 3)",
)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def hold_up(server: Program, folder: Path, url: str, count: int) -> list[WebSocketClient]:
    """A reload whose new process is there, while the old ones wait for these clients: each of them
    for one at least, wherever the kernel lets them in.
    """
    pids = processes(server)
    before = [open_files(pid) for pid in pids]
    coming: list[WebSocketClient] = []
    while len(coming) < 8 or any(map(operator.le, map(open_files, pids), before)):
        assert len(coming) < 400, "a worker lets nobody in"
        coming.append(await WebSocketClient.opened(url))
    server.signal(signal.SIGHUP)
    for client in coming:
        await client.say('40{"wait":3}')
    await eventually(lambda: len((folder / "up").read_text()) > count)
    return coming


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_new_code_that_dies_before_anything_has_moved_changes_nothing(
    tmp_path: Path, count: int
) -> None:
    with serving(tmp_path, count, UNDER_WAY) as (server, url):
        before = processes(server)
        clients = [await WebSocketClient.joined(url) for _ in range(4)]
        (tmp_path / "main.py").write_text(DIES)
        coming = await hold_up(server, tmp_path, url, count)
        server.said("not reloaded: the new code ended before it had taken over; everything goes on")
        for client in clients:
            await client.say('421["version"]')
            assert await client.text() == "431[1]"
        assert processes(server) == before
        (tmp_path / "main.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))
        reload(server)
        for client in clients:
            await client.say('421["version"]')
            assert await client.text() == "431[2]"
        for client in (*clients, *coming):
            client.close()


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_a_stop_before_anything_has_moved_says_goodbye(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count, UNDER_WAY) as (server, url):
        clients = [await WebSocketClient.joined(url) for _ in range(8)]
        coming = await hold_up(server, tmp_path, url, count)
        await asyncio.sleep(0.3)  # it has said so, and the old one waits
        server.signal(signal.SIGTERM)
        assert [await client.close_code() for client in clients] == [1001] * 8
        for client in coming:
            client.close()
        assert server.status() == 0


@asynchronous
async def test_a_worker_whose_loop_stands_still_is_not_renewed(tmp_path: Path) -> None:
    """Its clients are there still, and are served when it goes on: nothing is given to the new
    process any more, which was told to die and may take its time. (Here a child of its has what it
    had open.)
    """
    source = APP.replace(
        "if __name__",
        """
@app.on("hold")
def hold(socket: Socket) -> int:
    import time
    while not os.path.exists("go on"):
        time.sleep(0.01)
    return VERSION

if VERSION == 2 and not os.path.exists("go on") and os.fork() == 0:
    import time
    os.closerange(0, 3)
    time.sleep(12)
    os._exit(0)

if __name__""",
    )
    with serving(tmp_path, 2, source) as (server, url):
        clients = [await WebSocketClient.joined(url) for _ in range(6)]
        before = processes(server)
        await clients[0].say('421["hold"]')
        (tmp_path / "main.py").write_text(source.replace("VERSION = 1", "VERSION = 2"))
        server.signal(signal.SIGHUP)
        server.said("has stood still for 5 s: a handler holds it")
        (tmp_path / "go on").touch()
        assert await clients[0].text() == "431[1]"
        for client in clients:
            await client.say('422["version"]')
            assert await client.text() in ("432[1]", "432[2]")
        reload(server)
        await eventually(lambda: not any(map(lives, before)))
        for client in clients:
            await client.say('423["version"]')
            assert await client.text() == "433[2]"
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
    with serving(tmp_path, 1, HASTY) as (server, url):
        client = await WebSocketClient.joined(url)
        await client.say('421["slow",30]')  # the old one waits for it
        await asyncio.sleep(0.1)
        (tmp_path / "main.py").write_text(HASTY.replace("VERSION = 1", "VERSION = 2"))
        reload(server)
        (new,) = workers(server)
        os.kill(new, signal.SIGKILL)
        await eventually(lambda: workers(server) not in ([], [new]))
        client.close()
        client = await WebSocketClient.joined(url)
        await client.say('421["version"]')
        assert await client.text() == "431[2]"
        client.close()


Counted = dict[str, float]


async def counted(url: str) -> Counted:
    """All counters of a server, by name and labels."""
    answer = await ask(url, "GET", "/metrics")
    assert answer.status == 200
    lines = [line.rpartition(" ") for line in answer.body.decode().splitlines()]
    return {name: float(value) for name, _, value in lines if re.match(r"hocket_\w+_total", name)}


def fallen(before: Counted, after: Counted) -> Counted:
    return {name: value for name, value in before.items() if after.get(name, 0.0) < value}


def replaced(server: Program, pid: int, count: int) -> bool:
    return pid not in (there := workers(server)) and len(there) == count


def calls(event: str) -> str:
    return f'hocket_handler_calls_total{{event="{event}",namespace="/"}}'


@pytest.mark.parametrize("count", [1, 3])
@asynchronous
async def test_no_counter_falls_and_nothing_is_counted_twice(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, url):
        clients = [await WebSocketClient.joined(url) for _ in range(6)]
        for client in clients:
            await client.say('421["echo",1]', '422["echo",2]')
            assert [await client.text() for _ in range(2)] == ["431[1]", "432[2]"]
        await clients[0].say(f'423["until","{tmp_path / "end"}"]', '424["version"]')
        assert await clients[0].text() == "434[1]"
        before = processes(server)
        told = [await counted(url)]
        reload(server)
        told.append(await counted(url))  # while the handler keeps an old process
        await clients[1].say('421["echo",1]')
        assert await clients[1].text() == "431[1]"
        (tmp_path / "end").touch()
        await eventually(lambda: not any(lives(pid) for pid in before if pid != server.pid))
        await eventually(lambda: server.pid not in before or workers(server))
        told.append(await counted(url))
        reload(server, 2)
        told.append(await counted(url))
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
            await eventually(functools.partial(replaced, server, pid, count))
            told.append(await counted(url))
        for earlier, later in itertools.pairwise(told):
            assert fallen(earlier, later) == {}
        for last in told[2:]:
            assert last[calls("echo")] == 13
            assert last[calls("until")] == 1
            assert last[calls("connect")] == 6
            assert last['hocket_connections_opened_total{transport="websocket"}'] == 6
        for client in clients:
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
    with serving(tmp_path, count, HASTY) as (server, url):
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


FAILING = """
@app.on_shutdown
async def fails():
    raise RuntimeError("a hook that fails")

@app.on_shutdown
async def awaits_what_was_cancelled():
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task

if __name__"""


@pytest.mark.parametrize("count", [1, 2])
@asynchronous
async def test_on_shutdown_that_fails_stops_no_reload(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count, APP.replace("if __name__", FAILING)) as (server, url):
        client = await WebSocketClient.joined(url)
        for times in (1, 2):
            reload(server, times)
            server.said("on_shutdown failed", times * count)
            server.said("on_shutdown awaited what was cancelled", times * count)
        await eventually(lambda: len(workers(server)) == count)
        await client.say('421["version"]')
        assert await client.text() == "431[1]"
        client.close()
        server.signal(signal.SIGTERM)
        assert server.status() == 0


SLEEPS = "import time\ntime.sleep(60)\n"


@asynchronous
async def test_nothing_stays_behind_of_a_reload_that_a_stop_interrupts(tmp_path: Path) -> None:
    with serving(tmp_path, 1) as (server, _):
        (tmp_path / "main.py").write_text(SLEEPS + APP)
        server.signal(signal.SIGHUP)
        await eventually(lambda: workers(server))
        (new,) = workers(server)
        server.signal(signal.SIGTERM)
        assert server.status() == 0
        assert not lives(new)


@asynchronous
async def test_a_stop_does_not_wait_for_a_start_that_hangs(tmp_path: Path) -> None:
    hangs = """
@app.on_startup
async def hangs():
    print("starting", flush=True)
    await asyncio.sleep(60)

if __name__"""
    (tmp_path / "main.py").write_text(APP.replace("if __name__", hangs))
    env = {"HOCKET_PORT": "0", "HOCKET_WORKERS": "1"}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        assert server.line() == "starting"
        server.signal(signal.SIGTERM)
        assert server.status() == 0


@asynchronous
async def test_an_old_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stuck = """
import threading
threading.Thread(target=threading.Event().wait).start()

if __name__"""
    source = APP.replace("if __name__", stuck).replace("reload_timeout=20", "reload_timeout=0.5")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'hocket.instance.supervisor' in sys.orig_argv:\n"
        "    import hocket.instance.reloading as r\n"
        "    r.STOPPING = 0.5\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}
    with serving(tmp_path, 2, source, **env) as (server, url):
        before = workers(server)
        client = await WebSocketClient.joined(url)
        reload(server)
        server.said("has given its place and does not end: it is killed", 2)
        await eventually(lambda: not any(map(lives, before)))
        await client.say('421["version"]')
        assert await client.text() == "431[1]"
        client.close()
        server.signal(signal.SIGTERM)
        os.killpg(server.pid, signal.SIGKILL)


@asynchronous
async def test_a_wish_to_reload_while_workers_start_is_kept(tmp_path: Path) -> None:
    slow = """
@app.on_startup
async def slow():
    print("starting", flush=True)
    await asyncio.sleep(0.5)

if __name__"""
    (tmp_path / "main.py").write_text(APP.replace("if __name__", slow))
    env = {"HOCKET_PORT": "0", "HOCKET_WORKERS": "2"}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        assert server.line() == "starting"
        server.signal(signal.SIGHUP)
        server.said("info    reloaded: workers 2")
        server.stop()


CHILDREN = """
import os, signal, subprocess, multiprocessing

def sleep():
    import time
    time.sleep(60)

@app.on("children")
async def children(socket: Socket) -> list:
    sleeper = subprocess.Popen(["sleep", "60"], close_fds=False)
    forked = multiprocessing.get_context("fork").Process(target=sleep)
    forked.start()
    theirs = os.listdir(f"/proc/{sleeper.pid}/fd")
    sockets = [fd for fd in theirs
               if os.readlink(f"/proc/{sleeper.pid}/fd/{fd}").startswith("socket:")]
    ends = []
    for child in (sleeper, forked):
        child.terminate()
        ends.append(await asyncio.to_thread(child.wait if child is sleeper else child.join, 10))
    return [sleeper.returncode, forked.exitcode, sockets]

if __name__"""


@asynchronous
async def test_what_an_app_starts_ends_as_it_is_told_and_holds_nothing_of_the_server(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, 2, APP.replace("if __name__", CHILDREN)) as (_, url):
        client = await WebSocketClient.joined(url)
        await client.say('421["children"]')
        assert await client.text() == "431[[-15,-15,[]]]"
        client.close()


@asynchronous
async def test_rooms_of_the_ready_made_chat_go_on_after_a_reload() -> None:
    async def call(client: WebSocketClient, event: str, **data: str) -> Any:
        await client.say(f"421{json.dumps([event, data])}")
        while not (text := await client.text()).startswith("431"):
            pass
        return json.loads(text[3:])[0]

    with program(sys.executable, "-m", "hocket", "serve", "--port", "0") as server:
        url = server.url()
        async with (
            await WebSocketClient.opened(url) as ada,
            await WebSocketClient.opened(url) as bob,
        ):
            for client, name in ((ada, "ada"), (bob, "bob")):
                await client.say(f'40{{"name":"{name}"}}')
                members = (await call(client, "join", room="kitchen"))["members"]
            assert members == ["ada", "bob"]
            server.signal(signal.SIGHUP)
            server.said("reloaded: ")
            assert "id" in await call(ada, "message", room="kitchen", text="still here?")
            joined = await call(bob, "join", room="kitchen")
            assert joined["members"] == ["ada", "bob"]
            assert [said["text"] for said in joined["history"]] == ["still here?"]
            await call(bob, "leave", room="kitchen")
            while not (text := await ada.text()).startswith('42["members"'):
                pass
            assert json.loads(text[2:])[1] == {"room": "kitchen", "left": "bob", "count": 1}
