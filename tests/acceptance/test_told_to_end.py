"""Told to end, or left by its terminal, whatever the app does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import socket as sockets
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hocket.instance.desk import ask
from tests.integration.programs import SOURCE, WITHIN, environment, program
from tests.support import WebSocketClient, asynchronous

HOCKET = [sys.executable, "-m", "hocket"]
APP = "from hocket import App\napp = App()\n"
HOLDING = """
import asyncio, time
from hocket import App
app = App()
@app.on("hold")
def hold(socket):
    while True:
        time.sleep(0.01)
@app.on("never ends")
async def never(socket):
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize(("event", "workers"), [("hold", "1"), ("hold", "2"), ("never ends", "1")])
def test_what_does_not_end_is_cut_off_and_said(tmp_path: Path, event: str, workers: str) -> None:
    """The first signal is enough, if one has patience: shortened here."""
    source = "from hocket.instance import place, foreground\n"
    source += "place.STOPPING = foreground.STOPPING = 1.0\n"
    (tmp_path / "sitecustomize.py").write_text(source)
    (tmp_path / "main.py").write_text(HOLDING)
    env = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    command = [*HOCKET, "run", "main:app", "--port", "0", "--workers", workers]
    with program(*command, cwd=tmp_path, env=env) as server:
        say(server.url(), f'42["{event}"]')
        server.signal(signal.SIGTERM)
        if workers == "1":
            assert server.status() == 1
            server.said("Timeout (0:00:01)!")
            if event == "hold":
                server.said("main.py")  # where it stands
        else:
            assert server.status() == 0
            server.said("does not end within 1 s: it is killed")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_drain_has_the_same_limit(tmp_path: Path, workers: str) -> None:
    source = "from hocket.instance import place, foreground\n"
    source += "place.STOPPING = foreground.STOPPING = 1.0\n"
    (tmp_path / "sitecustomize.py").write_text(source)
    (tmp_path / "main.py").write_text(HOLDING)
    env = {"PYTHONPATH": f"{tmp_path}:{SOURCE}", "HOCKET_RUN_DIR": "run"}
    command = [*HOCKET, "run", "main:app", "--port", "0", "--workers", workers]
    with program(*command, cwd=tmp_path, env=env) as server:
        say(server.url(), '42["never ends"]')
        assert ask(str(tmp_path / "run"), "drain") == "draining"
        assert server.status() == (1 if workers == "1" else 0)
        one, several = "Timeout (0:00:01)!", "does not end within 1 s: it is killed"
        server.said(one if workers == "1" else several)


THREADS = {
    "a thread": """
@app.on_startup
def start():
    threading.Thread(target=hang).start()
""",
    "an executor": """
pool = concurrent.futures.ThreadPoolExecutor()
@app.on_startup
def start():
    pool.submit(hang)
""",
    "asyncio's executor": """
@app.on_startup
async def start():
    asyncio.get_running_loop().run_in_executor(None, hang)
""",
    "a view": """
from fastapi import FastAPI
site = FastAPI()
site.get("/")(hang)
app.mount("/site", site)
""",
    "a WSGI view": """
app.mount_wsgi("/site", lambda environ, start_response: hang())
""",
}


@pytest.mark.parametrize("runs", ["hocket run", "app.run()"])
@pytest.mark.parametrize("where", THREADS)
def test_a_thread_that_does_not_end_is_cut_off(tmp_path: Path, where: str, runs: str) -> None:
    """The interpreter would wait for it for ever. The limits are shortened."""
    source = "from hocket.instance import foreground, worker\n"
    source += "foreground.STOPPING, worker.SHUTDOWN = 0.7, 0.05\n"
    (tmp_path / "sitecustomize.py").write_text(source)
    source = "import asyncio, concurrent.futures, os, threading\n" + APP
    source += "def hang():\n    os.write(1, b'hangs\\n')\n    threading.Event().wait()\n"
    source += THREADS[where] + "if __name__ == '__main__':\n    app.run(port=0)\n"
    (tmp_path / "main.py").write_text(source)
    command = [*HOCKET, "run", "main:app", "--port", "0"]
    if runs == "app.run()":
        command = [sys.executable, "main.py"]
    env = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    with program(*command, cwd=tmp_path, env=env) as server, contextlib.ExitStack() as ours:
        if "view" in where:
            host, port = server.url().removeprefix("http://").split(":")
            asked = ours.enter_context(sockets.create_connection((host, int(port))))
            asked.sendall(b"GET /site/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.line() == "hangs"
        else:
            assert server.line() == "hangs"
            server.url()
        server.signal(signal.SIGTERM)
        assert server.status() == 1
        server.said("Timeout (0:00:00")
        server.said("in hang")  # where it stands


def test_what_a_program_does_after_the_server_takes_its_time(tmp_path: Path) -> None:
    source = "from hocket.instance import foreground\nforeground.STOPPING = 0.3\n"
    source += APP + "app.run(port=0)\nimport time\ntime.sleep(0.6)\nprint('done')\n"
    (tmp_path / "main.py").write_text(source)
    with program(sys.executable, "main.py", cwd=tmp_path) as server:
        server.url()
        server.signal(signal.SIGTERM)
        assert (server.status(), server.lines()) == (0, ["done"])


@asynchronous
async def say(url: str, packet: str) -> None:
    async with await WebSocketClient.joined(url) as client:
        await client.say(packet)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_what_holds_the_loop(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "main.py").write_text(HOLDING)
    with program(*HOCKET, "run", "main:app", "--port", "0", cwd=tmp_path) as server:
        say(server.url(), '42["hold"]')
        server.signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.3)
        server.signal(number)
        assert server.status() in (-number, 128 + number)


@asynchronous
async def runs(url: str, version: int) -> None:
    async with await WebSocketClient.joined(url) as client:
        await client.say('421["version"]')
        assert await client.text() == f"431[{version}]"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_program_that_goes_to_another_folder_has_workers_and_reloads(
    tmp_path: Path, workers: str
) -> None:
    source = APP + "import os\nos.chdir('/')\n@app.on('version')\ndef version(socket):\n"
    source += "    return 1\napp.run(port=0)\n"
    (tmp_path / "main.py").write_text(source)
    env = {"HOCKET_WORKERS": workers}
    with program(sys.executable, "main.py", cwd=tmp_path, env=env) as server:
        url = server.url()
        runs(url, 1)
        (tmp_path / "main.py").write_text(source.replace("return 1", "return 2"))
        server.signal(signal.SIGHUP)
        server.said("reloaded: ")
        runs(url, 2)


# Its terminal


@contextlib.contextmanager
def in_a_terminal(
    folder: Path, *words: str, source: str = APP, more: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server that was started from one: it, and the terminal's other end."""
    (folder / "main.py").write_text(source)
    outside, inside = pty.openpty()

    def begin() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = [*words, *HOCKET, "run", "main:app", "--port", "0", *more]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), preexec_fn=begin, stdin=inside, stdout=inside,
        stderr=inside,
    )  # fmt: skip
    os.close(inside)
    try:
        yield process, outside
    finally:
        process.kill()
        process.wait()


def read_until(terminal: int, text: bytes, times: int = 1) -> bytes:
    said = b""
    while said.count(text) < times:
        said += os.read(terminal, 4096)
    return said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_of_its_terminal_ends_it_and_any_other_hangup_is_a_reload(
    tmp_path: Path, workers: str
) -> None:
    with in_a_terminal(tmp_path, "env", f"HOCKET_WORKERS={workers}") as (process, terminal):
        read_until(terminal, b"Hocket serves")
        process.send_signal(signal.SIGHUP)
        read_until(terminal, b"reloaded: ")
        os.close(terminal)
        assert process.wait(WITHIN) == 0


SLOW_GOODBYE = """
import asyncio
@app.on_shutdown
async def goodbye():
    print("goes", flush=True)
    await asyncio.sleep(0.5)
    print("has gone", flush=True)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_what_is_run_with_reload_once(tmp_path: Path, workers: str) -> None:
    """It comes to every process of the terminal, and one of them tells the others."""
    more = ("--reload", "--workers", workers)
    source = APP + SLOW_GOODBYE
    with in_a_terminal(tmp_path, source=source, more=more) as (process, terminal):
        read_until(terminal, b"Hocket serves http")
        os.write(terminal, b"\x03")
        said = read_until(terminal, b"has gone", int(workers))
        assert process.wait(WITHIN) == 0
    assert b"watch" not in said


def test_a_second_ctrl_c_ends_what_is_run_with_reload_at_once(tmp_path: Path) -> None:
    source = APP + SLOW_GOODBYE.replace("0.5", "3600")
    with in_a_terminal(tmp_path, source=source, more=("--reload",)) as (process, terminal):
        read_until(terminal, b"Hocket serves http")
        os.write(terminal, b"\x03")
        read_until(terminal, b"goes")
        os.write(terminal, b"\x03")
        process.wait(WITHIN)


def test_without_its_terminal_it_goes_on_if_that_was_wished(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path, "nohup") as (process, terminal):
        read_until(terminal, b"nohup: ")
        file = tmp_path / "nohup.out"
        wait_for(lambda: file.exists() and "Hocket serves" in file.read_text())
        os.close(terminal)
        wait_for(lambda: "reloaded: " in file.read_text())
        assert process.poll() is None
        process.terminate()
        assert process.wait(WITHIN) == 0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "what the test waited for did not happen"
        time.sleep(0.01)


FORKS = """
import os, signal
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
from hocket.instance.place import leave_signals
leave_signals()
if not (child := os.fork()):
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_child_that_is_ended_as_it_begins_ends() -> None:
    """A worker leaves signals to its supervisor, and what it forks does not, from the first."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=20)
    assert done.stdout == "-15\nset()\n"


JUST_BEFORE = """
import asyncio, os, signal, sys
def begins_to_wait(frame, event, arg):
    if event == "line" and frame.f_lineno > frame.f_code.co_firstlineno + 8:
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGTERM)
    return begins_to_wait
def look(frame, event, arg):
    waits = frame.f_code is asyncio.Event.wait.__code__
    return begins_to_wait if waits and frame.f_back.f_code.co_name == "_serve_on" else None
sys.settrace(look)
"""


def test_a_signal_in_the_moment_in_which_its_event_is_waited_for(tmp_path: Path) -> None:
    """The event was not set when it was looked at, and nobody waits for it when it is."""
    (tmp_path / "sitecustomize.py").write_text(JUST_BEFORE)
    (tmp_path / "main.py").write_text(APP)
    env = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    with program(*HOCKET, "run", "main:app", "--port=0", cwd=tmp_path, env=env) as server:
        assert server.status() == 0
