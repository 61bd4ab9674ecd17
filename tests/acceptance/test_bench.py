"""`hocket bench`, as a person runs it: every scenario, what is wrong with a server, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.bench.latency import merged
from tests.integration.programs import ROOT, Program, environment, program

HOCKET = [sys.executable, "-m", "hocket"]
FREE = {"HOCKET_PORT": "0"}
APP = (ROOT / "examples/bench_app.py").read_text()
FEW = ["--connections", "40", "--processes", "2"]
EVENT = 'app.to("everybody").emit("all", message)'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The example's, served for all tests."""
    with program(sys.executable, str(ROOT / "examples/bench_app.py"), env=FREE) as server:
        yield server.url()


@contextlib.contextmanager
def serving(tmp_path: Path, source: str) -> Iterator[str]:
    (tmp_path / "main.py").write_text(source)
    with program(*HOCKET, "run", "main:app", cwd=tmp_path, env=FREE) as server:
        yield server.url()


def run(*words: str, limit: int = 0) -> subprocess.CompletedProcess[str]:
    """`limit`: files that it may open."""

    def obey() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    return subprocess.run(
        [*HOCKET, "bench", *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=obey if limit else None,
    )


def measured(tmp_path: Path, *words: str, status: int = 0, limit: int = 0) -> Any:
    """Its JSON; the summary is `["said"]`."""
    file = tmp_path / "result.json"
    done = run(*words, "--json", str(file), limit=limit)
    assert done.returncode == status, done
    found = json.loads(file.read_text())
    return {**found, "said": done.stdout}


def failed(*words: str, limit: int = 0) -> str:
    """What it says when it cannot work: one line on stderr."""
    done = run(*words, limit=limit)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("hocket: ")
    return line


def check(found: Any, clients: int = 40) -> None:
    """What holds for every run in which nothing went wrong."""
    assert found["problems"] == []
    assert not found["interrupted"]
    assert found["connect"]["ready"] == found["connect"]["wanted"] == clients
    assert found["connect"]["latency"]["count"] == clients
    assert len(merged([found["latency"]["histogram"]])) == found["latency"]["count"]
    assert sum(process["clients"] for process in found["processes"]) == clients
    assert found["lost"] == {}


# Scenarios


def test_broadcast_reaches_everybody_once(tmp_path: Path, url: str) -> None:
    found = measured(tmp_path, url, *FEW, "--rounds", "3")
    check(found)
    assert [(each["received"], each["missing"]) for each in found["rounds"]] == [(40, 0)] * 3
    assert (found["messages"]["received"], found["latency"]["count"]) == (120, 120)
    for each in found["rounds"]:
        assert 0 < each["p50_ms"] <= each["p99_ms"] <= each["last_ms"] * 1.002
    assert found["settings"]["connections"] == 40
    assert found["versions"]["hocket"]
    assert "one message to all 40 clients" in found["said"]
    assert "40 of 40" in found["said"]


def test_broadcasts_at_a_rate_overlap(tmp_path: Path, url: str) -> None:
    found = measured(tmp_path, url, *FEW, "--rate", "40", "--seconds", "0.5")
    check(found)
    assert [each["received"] for each in found["rounds"]] == [40] * 20


def test_a_message_in_each_room(tmp_path: Path, url: str) -> None:
    words = ["--scenario", "rooms", "--rooms", "8", "--rounds", "2"]
    found = measured(tmp_path, url, *FEW, *words)
    check(found)
    assert (found["messages"]["sent"], found["messages"]["received"]) == (16, 80)


def test_echo_on_a_schedule(tmp_path: Path, url: str) -> None:
    words = ["--scenario", "echo", "--rate", "100", "--seconds", "0.5"]
    found = measured(tmp_path, url, *FEW, *words)
    check(found)
    assert (found["messages"]["sent"], found["latency"]["count"]) == (50, 50)
    assert found["latency"]["from"] == "when each was to be sent"
    assert found["lag"]["count"] == 50


def test_a_server_that_stalls_once_is_slow_for_all_that_should_have_come_then(
    tmp_path: Path,
) -> None:
    stalling = APP.replace(
        "    socket.emit(", '    if "@5@" in message: time.sleep(0.3)\n    socket.emit('
    )
    with serving(tmp_path, f"import time\n{stalling}") as url:
        words = ["--connections=1", "--scenario=echo", "--rate=100", "--seconds=0.6"]
        found = measured(tmp_path, url, *words)
    check(found, 1)
    # Who waits for each answer before it asks again sees one slow one of 60 here.
    curve = merged([found["latency"]["histogram"]])
    assert curve.at(70) > 100, "about 20 of the 60 were to be sent in the first 200 ms of it"


def test_echo_without_a_rate_says_that_it_is_service_times(tmp_path: Path, url: str) -> None:
    found = measured(tmp_path, url, *FEW, "--scenario", "echo", "--seconds", "0.3")
    check(found)
    assert found["messages"]["received"] == found["messages"]["sent"] >= 40
    assert "service times" in found["latency"]["from"]
    assert "service times" in found["said"]


@pytest.mark.parametrize("transport", ["websocket", "upgrade"])
def test_a_storm(tmp_path: Path, url: str, transport: str) -> None:
    found = measured(tmp_path, url, *FEW, "--scenario", "storm", "--transport", transport)
    check(found)
    assert found["connect"]["seconds"] > 0, "nobody starts before the moment it counts from"
    assert found["latency"]["p50_ms"] > 0
    assert found["latency"]["from"] == "when all were to start"
    assert found["latency"]["count"] == 40


def test_churn(tmp_path: Path, url: str) -> None:
    words = ["--scenario", "churn", "--rate", "60", "--seconds", "0.5"]
    found = measured(tmp_path, url, *FEW, *words)
    check(found)
    assert (found["messages"]["sent"], found["messages"]["received"]) == (30, 30)
    assert "clients replaced" in found["said"]


def test_a_plain_websocket_server(tmp_path: Path) -> None:
    echo = ["-m", "hocket.testing.conformance", "websocket", "--port", "0"]
    with program(sys.executable, *echo) as server:
        url = server.url().replace("http:", "ws:")
        found = measured(tmp_path, url, "--raw", *FEW, "--scenario", "echo", "--seconds", "0.2")
        check(found)
        assert found["messages"]["received"] >= 40
        check(measured(tmp_path, url, "--raw", *FEW, "--scenario", "storm"))


@pytest.mark.parametrize("scenario", ["broadcast", "rooms", "echo"])
@pytest.mark.parametrize("transport", ["websocket", "upgrade"])
def test_the_server_of_somebody_else(tmp_path: Path, scenario: str, transport: str) -> None:
    peer = str(Path(__file__).with_name("bench_peer.py"))
    with program(sys.executable, peer) as server:
        words = ["--scenario", scenario, "--transport", transport, "--rooms=4", "--rounds=2"]
        found = measured(tmp_path, server.url(), "--connections=20", *words, "--seconds=0.2")
        check(found, 20)
        assert found["messages"]["received"] >= 20


def test_a_namespace(tmp_path: Path) -> None:
    source = APP.replace("@app.on", "@admin.on").replace(
        'origins="*")', 'origins="*")\nadmin = app.namespace("/admin")'
    )
    with serving(tmp_path, source.replace("app.to(", "admin.to(")) as url:
        check(measured(tmp_path, url + "/admin", *FEW, "--rounds=2"))
        check(measured(tmp_path, url + "/admin", *FEW, "--scenario=storm", "--transport=upgrade"))


def test_more_clients_than_files_take_more_processes(tmp_path: Path, url: str) -> None:
    found = measured(tmp_path, url, "--connections=400", "--rounds=1", limit=256)
    check(found, 400)
    assert len(found["processes"]) == 3
    said = failed(url, "--connections=400", "--processes=2", limit=256)
    assert "400 clients need --processes 3 or more: one process may open 256 files" in said


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_plot(tmp_path: Path, url: str, ending: str) -> None:
    file = tmp_path / f"plot.{ending}"
    done = run(url, *FEW, "--rounds=2", "--plot", str(file))
    assert done.returncode == 0, done
    start = {"svg": b"<?xml", "png": b"\x89PNG"}[ending]
    assert file.read_bytes().startswith(start)
    assert len(file.read_bytes()) > 5_000


def test_a_bar_on_a_terminal(url: str) -> None:
    ours, theirs = pty.openpty()
    words = [*HOCKET, "bench", url, *FEW, "--rounds=2"]
    env = {**environment(), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # at its end
            while data := os.read(ours, 65_536):
                shown += data
        assert running.wait(30) == 0
    os.close(ours)
    assert "━".encode() in shown
    assert b"2/2" in shown


# What is wrong with a server


def test_a_server_that_says_it_twice(tmp_path: Path) -> None:
    with serving(tmp_path, APP.replace(EVENT, f"{EVENT}\n    {EVENT}")) as url:
        found = measured(tmp_path, url, *FEW, "--rounds=2", status=1)
    assert found["messages"]["duplicated"] == 80
    assert "80 messages arrived twice or out of order" in found["problems"]
    assert "! 80 messages arrived twice" in found["said"]


@pytest.mark.parametrize("pace", [["--rounds=2"], ["--rate=20", "--seconds=0.1"]])
def test_a_server_that_forgets_somebody(tmp_path: Path, pace: list[str]) -> None:
    forgetful = 'app.to("everybody").except_("room-1").emit("all", message)'
    with serving(tmp_path, APP.replace(EVENT, forgetful)) as url:
        words = [*FEW, *pace, "--rooms=20", "--timeout=0.3"]
        found = measured(tmp_path, url, *words, status=1)
    assert [(each["received"], each["missing"]) for each in found["rounds"]] == [(38, 2)] * 2
    assert found["problems"] == ["4 messages did not arrive"]


def test_a_server_that_does_not_know_the_events(tmp_path: Path) -> None:
    with serving(tmp_path, "from hocket import App\napp = App()\napp.namespace('/')") as url:
        said = failed(url, *FEW, "--timeout=0.2")
        assert "event 'all'" in said
        assert "docs/howto/measure.md" in said
        assert "event 'echo'" in failed(url, *FEW, "--scenario=echo", "--timeout=0.2")


def test_a_server_that_lets_nobody_in(tmp_path: Path) -> None:
    refusing = APP.replace(
        "    socket.user =",
        '    if "token" not in auth: raise ConnectError("no")\n    socket.user =',
    ).replace("import App,", "import App, ConnectError,")
    with serving(tmp_path, refusing) as url:
        assert '{"message":"no"}' in failed(url, *FEW)
        assert "--auth" in failed(url, *FEW)
        check(measured(tmp_path, url, *FEW, "--rounds=1", "--token=x"))


CLOSES = """
from hocket import App
async def asgi(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
app = App(origins="*")
app.mount("/ws", asgi)
"""


@pytest.mark.parametrize("scenario", ["storm", "echo"])
def test_a_server_that_closes_at_once(tmp_path: Path, scenario: str) -> None:
    with serving(tmp_path, CLOSES) as url:
        url = url.replace("http:", "ws:") + "/ws"
        said = failed(url, *FEW, "--raw", "--scenario", scenario)
        assert "lets a client in, and then: closed by the server" in said


def test_no_server_and_another_one(url: str) -> None:
    said = failed("http://127.0.0.1:1", *FEW)
    assert "nothing listens at http://127.0.0.1:1: start the server first" in said
    assert "HTTP 404" in failed(url, *FEW, "--path=/elsewhere")
    assert "is Socket.IO there?" in failed(url, *FEW, "--path=/elsewhere", "--transport=upgrade")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["http://192.0.2.1"], "192.0.2.1 is 192.0.2.1, another machine"),
        (["https://127.0.0.1:1"], "nothing listens at https://127.0.0.1:1"),
        (["ftp://127.0.0.1"], "is no URL such as http://127.0.0.1:8080"),
        (["http://127.0.0.1:1", "--json=/nowhere/x.json"], "--json: there is no folder /nowhere"),
        (["http://127.0.0.1:1", "--plot=x.gif"], "--plot: x.gif ends in neither .svg nor .png"),
        (["http://127.0.0.1:1", "--scenario=churn"], "churn needs --rate"),
    ],
)
def test_what_cannot_be(words: list[str], why: str) -> None:
    assert why in failed(*words)


# Its end


@contextlib.contextmanager
def running(url: str, file: Path) -> Iterator[Program]:
    """An echo for a minute, under way."""
    words = [url, *FEW, "--scenario=echo", "--rate=100", "--seconds=60", "--json", str(file)]
    with program(*HOCKET, "bench", *words) as bench:
        bench.said("running 0 of 60")
        yield bench


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(each) for each in found.stdout.split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_there_is_when_it_is_interrupted(
    tmp_path: Path, url: str, number: signal.Signals
) -> None:
    file = tmp_path / "x.json"
    with running(url, file) as bench:
        processes = children(bench.pid)
        time.sleep(0.3)  # so that there is something to tell
        os.killpg(bench.pid, number)  # as a terminal does
        assert bench.status() == 130
        assert "! interrupted: these are partial results" in bench.lines()
    found = json.loads(file.read_text())
    assert found["interrupted"]
    assert found["problems"] == []
    assert 0 < found["latency"]["count"] <= found["messages"]["sent"] < 6000
    assert len(processes) == 2
    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []


def test_what_there_is_when_it_is_interrupted_while_it_connects(tmp_path: Path) -> None:
    slow = APP.replace("def connect(", "async def connect(").replace(
        "    socket.user =",
        "    seen.append(1)\n    if len(seen) > 20: await asyncio.sleep(5)\n    socket.user =",
    )
    slow = slow.replace('app = App(origins="*")', 'app = App(origins="*", workers=1)\nseen = []')
    slow = slow.replace("from typing", "import asyncio\nfrom typing")
    file = tmp_path / "x.json"
    with serving(tmp_path, slow) as url:
        words = [url, *FEW, "--scenario=storm", "--json", str(file)]
        with program(*HOCKET, "bench", *words) as bench:
            bench.said("connecting 19 of 40")
            os.killpg(bench.pid, signal.SIGINT)
            assert bench.status() == 130
            assert "! interrupted: these are partial results" in bench.lines()
    found = json.loads(file.read_text())
    assert found["interrupted"]
    assert found["connect"]["ready"] == 19  # the first to come was the look before the load


def test_rounds_that_nobody_gets_end_all_the_same(tmp_path: Path) -> None:
    """More of them than the channels between the processes hold."""
    silent = APP.replace(EVENT, "if '@0@' in message: " + EVENT)  # the look before the load
    words = ["--rate", "1000", "--seconds", "1.2", "--timeout", "0.5"]
    with serving(tmp_path, silent) as url:
        found = measured(tmp_path, url, *FEW, *words, status=1)
    assert len(found["rounds"]) == 1200
    assert found["messages"]["missing"] == 1200 * 40


def test_churn_in_which_nobody_gets_in(tmp_path: Path) -> None:
    full = APP.replace(
        "    socket.user =",
        "    seen.append(1)\n    if len(seen) > 41: await asyncio.sleep(3)\n    socket.user =",
    ).replace("def connect(", "async def connect(")
    full = "import asyncio\nseen = []\n" + full.replace("from __future__ import annotations\n", "")
    words = ["--scenario", "churn", "--rate", "100", "--seconds", "1", "--timeout", "0.5"]
    with serving(tmp_path, full) as url:
        found = measured(tmp_path, url, *FEW, *words, "--retries", "100", status=1)
    assert found["messages"]["received"] == 0
    assert found["messages"]["sent"] + found["messages"]["skipped"] == 100
    assert found["connect"]["failed"] + found["messages"]["missing"] == found["messages"]["sent"]


def test_a_result_that_cannot_be_kept_is_said_before_the_load(tmp_path: Path, url: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    places = ("--json", tmp_path), ("--plot", tmp_path), ("--json", Path("/proc"))
    for option, folder in places:
        file = folder / "folder.svg"
        done = run(url, *FEW, option, str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{option}: {file} cannot be written" in done.stderr


def test_it_needs_no_stderr(tmp_path: Path, url: str) -> None:
    file = tmp_path / "x.json"
    command = [*HOCKET, "bench", url, *FEW, "--rounds", "1", "--json", str(file)]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&- >&-', "sh", *command], env=environment(), timeout=60
    )
    assert done.returncode == 0
    assert json.loads(file.read_text())["messages"]["received"] == 40


def test_a_server_that_dies(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    example = str(ROOT / "examples/bench_app.py")
    with (
        program(sys.executable, example, env=FREE) as server,
        running(server.url(), file) as bench,
    ):
        server.signal(signal.SIGKILL)
        assert bench.status() == 1
        assert "! 40 were lost" in bench.lines()
    found = json.loads(file.read_text())
    assert found["lost"] == {"closed by the server": 40}


def test_a_process_of_the_load_generator_that_dies(tmp_path: Path, url: str) -> None:
    file = tmp_path / "x.json"
    with running(url, file) as bench:
        os.kill(children(bench.pid)[0], signal.SIGKILL)
        bench.signal(signal.SIGINT)
        assert bench.status() == 130
    found = json.loads(file.read_text())
    assert "1 processes of the load generator died" in found["problems"]
    assert len(found["processes"]) == 1


def test_its_processes_end_with_it(tmp_path: Path, url: str) -> None:
    with running(url, tmp_path / "x.json") as bench:
        processes = children(bench.pid)
        assert len(processes) == 2
        bench.signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in processes):
            assert time.monotonic() < deadline
            time.sleep(0.01)
