"""The socket in `run_dir`: `hocket reload`, and events from other processes."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hocket import Emitter, Overloaded
from hocket.broker.channel import framed
from hocket.errors import UsageError
from hocket.instance.desk import connect
from tests.integration.programs import Program, environment, program
from tests.support import Gone, WebSocketClient, Wire, asynchronous, eventually

APP = """
from hocket import App, Socket
app = App()
app.namespace("/admin")

@app.on("connect")
def connect(socket: Socket, auth: dict) -> None:
    socket.user = auth.get("user", "")
    socket.join(*auth.get("rooms", []))

@app.on("rooms")
def rooms(socket: Socket) -> list:
    return sorted(socket.rooms - {socket.id})

if __name__ == "__main__":
    app.run()
"""
each_count = pytest.mark.parametrize("count", [1, 2])


@contextmanager
def serving(folder: Path, count: int, **more: str) -> Iterator[tuple[Program, str, Path]]:
    """A server with a run_dir: its program, its URL, that folder."""
    (folder / "main.py").write_text(APP)
    run_dir = folder / "run"
    env = {
        "HOCKET_PORT": "0",
        "HOCKET_WORKERS": str(count),
        "HOCKET_RUN_DIR": str(run_dir),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
    with program(sys.executable, "main.py", cwd=folder, env=env) as server:
        yield server, server.url(), run_dir


def hocket(*words: str, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hocket", *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


async def joined(url: str, auth: str) -> WebSocketClient:
    client = await WebSocketClient.opened(url)
    await client.say("40" + auth)
    assert (await client.text()).startswith("40")
    return client


@each_count
@asynchronous
async def test_another_process_emits_joins_leaves_and_disconnects(
    tmp_path: Path, count: int
) -> None:
    with serving(tmp_path, count) as (_, url, run_dir):
        one = await joined(url, '{"rooms":["x"]}')
        other = await joined(url, '{"rooms":["y"]}')
        emitter = Emitter(run_dir)
        emitter.emit("all", 1, {"two": [3]})
        emitter.to("x").emit("to x")
        emitter.except_("x").emit("but x")
        emitter.to("x", "y").except_("y").emit("x, not y", b"\x00\xff")
        emitter.to("y").join("z")
        emitter.to("z").emit("to z")
        emitter.to("z").leave("y")
        emitter.namespace("/admin").emit("elsewhere")
        emitter.emit("end")
        assert [await one.hear() for _ in range(5)] == [
            '42["all",1,{"two":[3]}]',
            '42["to x"]',
            '451-["x, not y",{"_placeholder":true,"num":0}]',
            b"\x00\xff",
            '42["end"]',
        ]
        heard = [await other.text() for _ in range(4)]
        assert heard == ['42["all",1,{"two":[3]}]', '42["but x"]', '42["to z"]', '42["end"]']
        await other.say('421["rooms"]')
        assert await other.text() == '431[["z"]]'
        emitter.to("x").disconnect(close=True)
        assert await one.text() == "41"
        with pytest.raises(Gone):
            await one.text()
        with pytest.raises(ValueError, match="reserved"):
            emitter.emit("connect")
        with pytest.raises(TypeError):
            emitter.emit("no", object())
        for room in (7, None):
            with pytest.raises(TypeError, match="a room is a str"):
                emitter.to(room)  # type: ignore[arg-type]
        emitter.close()
        one.close()
        other.close()


@each_count
@asynchronous
async def test_what_is_no_event_ends_its_sender_and_nobody_else(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, url, run_dir):
        client = await joined(url, "{}")
        good, bad = Emitter(run_dir), connect(run_dir, "emit")
        good.emit("news", 1)
        assert await client.text() == '42["news",1]'
        bad.sendall(framed(b"no event"))
        with bad:
            bad.settimeout(10)
            assert bad.recv(1) == b""
        server.said("is no event")
        good.emit("news", 2)
        assert await client.text() == '42["news",2]'
        good.close()
        client.close()


@each_count
@asynchronous
async def test_an_emitter_outlives_reloads_and_loses_nothing(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (_, url, run_dir):
        client = await joined(url, "{}")
        emitter = Emitter(run_dir)
        stop, sent = threading.Event(), 0

        def emit() -> None:
            nonlocal sent
            while not stop.wait(0.001):
                emitter.emit("count", sent)
                sent += 1

        thread = threading.Thread(target=emit)
        thread.start()
        try:
            for _ in range(2):
                status, said, _ = hocket("reload", "--run-dir", str(run_dir), cwd=tmp_path)
                assert (status, said.partition(":")[0]) == (0, "reloaded")
        finally:
            stop.set()
            thread.join()
        for number in range(sent):
            assert await client.text() == f'42["count",{number}]'
        emitter.close()
        client.close()


@each_count
def test_reload_says_what_is_wrong(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, _, run_dir):
        (tmp_path / "main.py").write_text("syntax error")
        status, said, wrong = hocket("reload", "--run-dir", str(run_dir), cwd=tmp_path)
        assert (status, said) == (1, "")
        assert wrong.startswith("hocket: not reloaded: the new code does not start")
        server.said("SyntaxError")
        (tmp_path / "main.py").write_text(APP)
        assert hocket("reload", "--run-dir", str(run_dir), cwd=tmp_path)[0] == 0


def test_the_socket_is_its_users_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, 1) as (server, _, run_dir):
        path = run_dir / "hocket.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
        env = {"HOCKET_PORT": "0", "HOCKET_RUN_DIR": str(run_dir)}
        with program(sys.executable, "main.py", cwd=tmp_path, env=env) as second:
            assert second.status() == 2
            assert "another server uses" in second.errors()[0]
        server.stop()
        assert not path.exists()


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_dir_that_cannot_be_is_said_before_anybody_comes(tmp_path: Path, count: int) -> None:
    (tmp_path / "main.py").write_text(APP + "print('imported', flush=True)\n")
    env = {"HOCKET_PORT": "0", "HOCKET_WORKERS": str(count), "HOCKET_RUN_DIR": "main.py"}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        assert server.status() == 2
        (line,) = server.errors()
        assert line.startswith("hocket: run_dir: main.py/hocket.sock: ")
        assert server.lines() == []


@each_count
@asynchronous
async def test_a_second_drain_hurries_nobody(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count, HOCKET_DRAIN_TIME="1.5") as (server, url, run_dir):
        clients = [await joined(url, "{}") for _ in range(20)]
        for _ in range(2):
            with connect(run_dir, "drain") as asked:
                assert await asyncio.to_thread(asked.recv, 100) == b'{"done":"draining"}\n'
        assert {await client.close_code() for client in clients} == {1001}
        assert server.status() == 0


def emit_twice(emitter: Emitter) -> None:
    emitter.emit("from a child", 1)
    emitter.emit("from a child", 2)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@asynchronous
async def test_an_emitter_is_good_in_a_process_that_is_forked(tmp_path: Path) -> None:
    with serving(tmp_path, 1) as (_, url, run_dir):
        client = await joined(url, "{}")
        emitter = Emitter(run_dir)
        emitter.emit("from the parent", 1)
        emitter._line._lock.acquire()  # as if another thread were about to send
        child = multiprocessing.get_context("fork").Process(target=emit_twice, args=(emitter,))
        child.start()
        await asyncio.to_thread(child.join, 20)
        assert child.exitcode == 0
        emitter._line._lock.release()
        emitter.emit("from the parent", 2)
        heard = sorted([await client.text() for _ in range(4)])
        both = ("a child", "the parent")
        assert heard == [f'42["from {who}",{n}]' for who in both for n in (1, 2)]
        emitter.close()
        client.close()


@asynchronous
async def test_an_emitter_finds_the_server_that_comes_after(tmp_path: Path) -> None:
    emitter = Emitter(tmp_path / "run")
    with pytest.raises(UsageError, match="no server answers at"):
        emitter.emit("nobody")
    for _ in range(2):
        with serving(tmp_path, 1) as (server, url, _):
            client = await joined(url, "{}")
            emitter.emit("news")
            assert await client.text() == '42["news"]'
            client.close()
            server.process.kill()  # the socket stays behind
    emitter.close()


def test_reload_of_nothing(tmp_path: Path) -> None:
    status, _, wrong = hocket("reload", cwd=tmp_path)
    assert (status, wrong.startswith("hocket: which server? give --run-dir")) == (2, True)
    status, _, wrong = hocket("reload", "--run-dir", "nowhere", cwd=tmp_path)
    assert (status, wrong.startswith("hocket: no server answers at")) == (2, True)


@each_count
@asynchronous
async def test_drain_sends_clients_away_one_after_the_other(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count, HOCKET_DRAIN_TIME="1") as (server, url, run_dir):
        clients = [await joined(url, "{}") for _ in range(20)]
        drain = [sys.executable, "-m", "hocket", "drain", "--run-dir", str(run_dir)]
        with program(*drain, cwd=tmp_path) as draining:
            assert draining.line() == "draining"
            await eventually(lambda: refuses(url))  # a load balancer tries another
            ends = await asyncio.gather(*[time_of_end(client) for client in clients])
            assert max(ends) - min(ends) > 0.5  # not all at once
            assert draining.line() == "ended"
            assert draining.status() == 0
        assert server.status() == 0


def refuses(url: str) -> bool:
    host, _, port = url.rpartition("/")[2].partition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) != 0


@asynchronous
async def test_who_drains_lets_nobody_new_in_over_a_connection_that_is_there(
    tmp_path: Path,
) -> None:
    """A proxy keeps its connections: those who were sent away would come back to this one."""
    words = ["serve", "--port=0", "--workers=1", "--run-dir=run", "--drain-time=1"]
    enter = "/socket.io/?EIO=4&transport=polling"
    with program(sys.executable, "-m", "hocket", *words, cwd=tmp_path) as server:
        url = server.url()
        async with await Wire.to(url) as wire:
            for _ in range(10):
                assert (await wire.request("GET", enter)).status == 200
            assert (await wire.request("GET", "/readyz")).status == 200
            with connect(tmp_path / "run", "drain") as asked:
                assert await asyncio.to_thread(asked.recv, 100) == b'{"done":"draining"}\n'
            while (await wire.request("GET", "/readyz")).status == 200:
                pass  # a moment after that answer
            answer = await wire.request("GET", enter)
            assert answer.status == 503
            assert b"the server stops" in answer.body
            assert (await wire.request("GET", "/healthz")).status == 200
        assert server.status() == 0


async def time_of_end(client: WebSocketClient) -> float:
    assert await client.close_code() == 1001
    client.close()
    return time.monotonic()


def test_what_no_emitter_can_be_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run_dir is empty"):
        Emitter("")
    with pytest.raises(ValueError, match="begins with a slash: 'admin'"):
        Emitter(tmp_path, "admin")
    with pytest.raises(ValueError, match="begins with a slash: 'admin'"):
        Emitter(tmp_path).namespace("admin")


@contextmanager
def listening(folder: Path, waiting: int) -> Iterator[socket.socket]:
    """A server that does nothing, with room for so many who wait to be accepted."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "hocket.sock"))
        server.listen(waiting)
        server.settimeout(10)
        yield server


class SoftLimitError(Exception):
    """As a task queue raises it in the middle of anything."""


def test_an_emit_that_is_broken_off_does_not_take_the_next_along(tmp_path: Path) -> None:
    def break_off(number: int, frame: object) -> None:
        raise SoftLimitError

    def interrupt(server: socket.socket) -> None:
        with server.accept()[0] as first:
            first.recv(1_000_000)
            os.kill(os.getpid(), signal.SIGALRM)
            emitted.wait(10)

    emitter, emitted = Emitter(tmp_path), threading.Event()
    before = signal.signal(signal.SIGALRM, break_off)
    try:
        with listening(tmp_path, 5) as server:
            (thread := threading.Thread(target=interrupt, args=(server,))).start()
            with pytest.raises(SoftLimitError):
                emitter.emit("large", "x" * 5_000_000)
            emitter.emit("small")
            emitted.set()
            thread.join()
            emitter.close()
            with server.accept()[0] as second, second.makefile("rb") as said:
                assert said.readline() == b'{"do":"emit"}\n'
                assert b"small" in said.read()
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("beats", [0.0, 0.01])
def test_an_emitter_waits_no_longer_than_it_may_to_be_let_in(tmp_path: Path, beats: float) -> None:
    """Nor shorter: a signal that comes meanwhile is no server that does not answer."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, beats, beats)
    try:
        let_nobody_in(tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def let_nobody_in(tmp_path: Path) -> None:
    with listening(tmp_path, 0), contextlib.ExitStack() as others:
        for _ in range(10):  # until there is no room
            other = others.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(str(tmp_path / "hocket.sock"))
        with pytest.raises(Overloaded, match="the server took nothing"):
            Emitter(tmp_path, timeout=0.2).emit("news")


@each_count
def test_a_stop_while_new_code_starts_is_not_blamed_on_it(tmp_path: Path, count: int) -> None:
    with serving(tmp_path, count) as (server, _, run_dir):
        starts = """
@app.on_startup
async def starts():
    import asyncio
    open("begun", "w").close()
    await asyncio.sleep(60)

if __name__"""
        (tmp_path / "main.py").write_text(APP.replace("if __name__", starts))
        with subprocess.Popen(
            [sys.executable, "-m", "hocket", "reload", "--run-dir", str(run_dir)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        ) as reload:
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            server.signal(signal.SIGTERM)
            assert "the server stops" in reload.communicate(timeout=30)[1]
        assert reload.returncode == 1
        assert server.status() == 0
