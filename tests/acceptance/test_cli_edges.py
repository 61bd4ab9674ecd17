"""The command line where it is given what it does not expect, or told twice: one line and status 2
for what a person can mend, and never a traceback.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import SOURCE, Program, environment, program
from tests.support import PollingClient, WebSocketClient, Wire, asynchronous, head

HOCKET = [sys.executable, "-m", "hocket"]
SECRET = {"HOCKET_SECRET": "s" * 32}
APP = "from hocket import App\napp = App()\n"


def failed(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run what cannot work; its one line on stderr."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert (done.returncode, done.stdout) == (2, ""), done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("hocket: ")
    return lines[0]


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (APP + "import hocket\nhocket.add_api(app)", "main:app", "App(data=DIR)"),
        (APP + "app.run(port=0)", "main:app", "calls app.run() while it is imported"),
        ("def f(:", "main:app", "SyntaxError: invalid syntax (main.py, line 1)"),
        ("raise ValueError('two\\nlines')", "main:app", "ValueError: two"),
        ("number = 5", "main:number.app", "'number.app'"),
        (APP, "main:app.nothing", "has no 'app.nothing'; its Apps are: app"),
        (APP, "main:", "is not of the form module:app"),
        (APP, ":app", "is not of the form module:app"),
        (APP, "main.py:app", "main.py"),
        (APP, "./main:app", "./main"),
    ],
)
def test_what_is_wrong_with_an_app(tmp_path: Path, source: str, name: str, expected: str) -> None:
    (tmp_path / "main.py").write_text(source)
    assert expected in failed([*HOCKET, "run", name], tmp_path)


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "not an address", "::g"])
def test_an_address_that_is_none(tmp_path: Path, host: str) -> None:
    command = [*HOCKET, "serve", "--port", "0", "--host", host]
    assert "is no address of this machine" in failed(command, tmp_path, SECRET)


@pytest.mark.parametrize(
    "line",
    ["port = inf", "port = nan", "port = [1]", "origins = 5", "recovery = 60", "= 1"],
)
def test_what_is_wrong_with_the_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "hocket.toml").write_text(line)
    said = failed([*HOCKET, "serve"], tmp_path)
    assert ("hocket.toml" if line != "recovery = 60" else "recovery=60 is not available") in said


@pytest.mark.parametrize("hours", ["nan", "inf", "-inf"])
def test_a_token_that_is_valid_for_no_number_of_hours(tmp_path: Path, hours: str) -> None:
    command = [*HOCKET, "token", "--user", "ada", f"--hours={hours}"]
    assert "hours" in failed(command, tmp_path, SECRET)


def test_a_token_for_nobody(tmp_path: Path) -> None:
    """The server lets no token in that names nobody, so none is made."""
    assert "user" in failed([*HOCKET, "token", "--user", ""], tmp_path, SECRET)


@pytest.mark.parametrize("name", ["recovery"])
def test_what_is_planned_is_refused_for_a_program_of_ones_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "main.py").write_text(APP + "app.run()\n")
    said = failed(
        [sys.executable, "main.py"], tmp_path, {f"HOCKET_{name.upper()}": "4", "HOCKET_PORT": "0"}
    )
    assert f"{name}='4' is not available" in said


def test_one_worker_may_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP + "app.run()\n")
    env = {"HOCKET_WORKERS": "1", "HOCKET_PORT": "0"}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        assert server.url()


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("watchfiles", ["run", "main:app", "--reload"]),
        ("rich", ["bench", "http://127.0.0.1:1"]),
        ("cryptography", ["vapid"]),
    ],
)
def test_a_package_that_is_missing_is_named(tmp_path: Path, missing: str, words: list[str]) -> None:
    """By itself: Hocket may have come from a checkout, and there is no hocket[reload] then."""
    source = "import sys, importlib.util\nfind = importlib.util.find_spec\n"
    source += f"sys.modules[{missing!r}] = None\n"
    source += (
        f"importlib.util.find_spec = lambda name: None if name == {missing!r} else find(name)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(source)
    env = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    assert f"pip install {missing}" in failed([*HOCKET, *words], tmp_path, env)


def test_reload_waits_for_a_broken_file_to_be_mended(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("1 / 0\n")
    with program(*HOCKET, "run", "main:app", "--port", "0", "--reload", cwd=tmp_path) as server:
        server.said("ZeroDivisionError")
        server.said("waiting for a change")
        (tmp_path / "main.py").write_text(APP)
        assert server.url()
        server.signal(signal.SIGTERM)
        assert server.status() == 0
        assert not any("watchfiles" in line or "process" in line for line in server.errors())


# Told to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_clients_are_told_when_the_server_is_told_to_stop(number: signal.Signals) -> None:
    with program(*HOCKET, "serve", "--port", "0") as server:
        stop_under_clients(server, server.url(), number)
        assert server.status() == 0
        assert server.lines() == []
        assert server.errors() == []


@asynchronous
async def stop_under_clients(server: Program, url: str, number: signal.Signals) -> None:
    websocket = await WebSocketClient.joined(url)
    polling = await PollingClient.opened(url)
    async with websocket, await Wire.to(url) as poll:
        await poll.send(head(poll.host, polling.target))
        await websocket.say('421["join",{"room":"kitchen"}]')  # answered: all is read by now
        while not (await websocket.text()).startswith("431"):
            pass
        server.signal(number)
        assert await websocket.close_code() == 1001
        told = await poll.answer()
        assert told.status == 503 or told.body == b"1"
        assert await poll.is_closed()


STUBBORN = """
import asyncio
from hocket import App
app = App()
@app.on("hang")
async def hang(socket):
    socket.emit("hanging")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_twice_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "main.py").write_text(STUBBORN)
    with program(*HOCKET, "run", "main:app", "--port", "0", cwd=tmp_path) as server:
        stop_twice(server, server.url(), number)
        assert server.status() in (-number, 128 + number)
        assert not any("Traceback" in line for line in server.errors())


@asynchronous
async def stop_twice(server: Program, url: str, number: signal.Signals) -> None:
    async with await WebSocketClient.joined(url) as client:
        await client.say('42["hang"]')
        assert await client.text() == '42["hanging"]'
        server.signal(number)
        assert await client.close_code() == 1001  # it stops, and waits for the handler
        server.signal(number)


EITHER_WAY = pytest.mark.parametrize("unbuffered", ["", "1"])


@EITHER_WAY
@pytest.mark.parametrize("words", [["doctor"], ["--help"]])
def test_whoever_read_its_output_has_gone(words: list[str], unbuffered: str) -> None:
    env = environment({"PYTHONUNBUFFERED": unbuffered})
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "wb") as gone:
        done = subprocess.run(
            [*HOCKET, *words], stdout=gone, stderr=subprocess.PIPE, env=env, timeout=60
        )
    assert done.stderr == b""
    assert done.returncode == 141 or words == ["--help"]  # of which argparse may say nothing


@EITHER_WAY
@pytest.mark.parametrize("words", [["doctor"], ["serve", "--port", "0"]])
def test_its_output_cannot_be_written(words: list[str], unbuffered: str) -> None:
    env = environment({"PYTHONUNBUFFERED": unbuffered})
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*HOCKET, *words], stdout=full, stderr=subprocess.PIPE, env=env, timeout=60
        )
    said = b"hocket: stdout cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("more", [[], ["--reload"]])
def test_its_folder_is_no_more(tmp_path: Path, more: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *HOCKET, "run", "main:app", *more]
    assert "the folder in which this was started" in failed(command, gone)


IMPORTED = """
import pathlib, time
if not (first := pathlib.Path("first")).exists():
    first.touch()
else:
    print("begins", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_while_the_app_is_imported(tmp_path: Path, workers: str) -> None:
    """By the process that a person started, or by its workers."""
    (tmp_path / "main.py").write_text(IMPORTED + APP)
    if workers == "1":
        (tmp_path / "first").touch()
    command = [*HOCKET, "run", "main:app", "--port", "0", "--workers", workers]
    with program(*command, cwd=tmp_path) as server:
        assert server.line() == "begins"
        os.killpg(server.pid, signal.SIGINT)  # as a terminal does
        assert server.status() in (0, 130)
        assert server.errors() == []


TALKING = """
import logging
from hocket import ConnectError
@app.on("connect")
def connect(socket, auth):
    if auth.get("name") == "eve":
        raise ConnectError("not you")
app.on_startup(lambda: logging.getLogger("other").warning("beware"))
"""


@asynchronous
async def talk(url: str) -> None:
    async with await WebSocketClient.opened(url) as refused:
        await refused.say('40{"name":"eve"}')
        assert (await refused.text()).startswith("44")
    async with await WebSocketClient.joined(url) as client:
        await client.say('42["mesage",1]')
        await client.say("41")
        await client.say("40")
        assert (await client.text()).startswith("40")


def test_debug_lines_say_who_comes_and_what_nobody_handles(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP + TALKING)
    words = ["run", "main:app", "--port", "0", "--log-level", "debug"]
    with program(*HOCKET, *words, cwd=tmp_path) as server:
        talk(server.url())
        for said in (
            "refused sid=", "why=not you",
            "connect sid=", "transport=websocket",
            "no handler sid=", "event=mesage",
            "disconnect sid=", "reason=client namespace disconnect",
        ):  # fmt: skip
            server.said(said)


def test_whoever_logs_does_it_for_machines(tmp_path: Path) -> None:
    """An app's own loggers and asyncio's: a reader of JSON lines stops at what is none."""
    (tmp_path / "main.py").write_text(APP + TALKING)
    words = ["run", "main:app", "--port", "0", "--log-format", "json"]
    with program(*HOCKET, *words, cwd=tmp_path) as server:
        server.url()
        server.signal(signal.SIGTERM)
        line = json.loads(server.errors()[0])
    assert (line["logger"], line["message"]) == ("other", "beware")


def test_log_lines_for_machines_are_one_object_each(tmp_path: Path) -> None:
    """Whatever a client sends, a line is a line and parses."""
    with program(*HOCKET, "serve", "--port", "0", "--log-format", "json") as server:
        send_nonsense(server.url())
        server.said("bad packet")
        server.signal(signal.SIGTERM)
        lines = [json.loads(line) for line in server.errors()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert lines[0]["address"] == "127.0.0.1"


@asynchronous
async def send_nonsense(url: str) -> None:
    async with await WebSocketClient.joined(url) as client:
        await client.say('42["\\n\x1b[2J\u2028')
        assert await client.close_code() == 1008
