"""`hocket versus` and `hocket advise` as people run them; how fast anything is, no test asks."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from hocket.cli.versus import ONLY_FULL, QUICK
from hocket.versus import command
from hocket.versus.making import HERE, Maker
from hocket.versus.results import load
from hocket.versus.running import Plan, Run, fresh
from hocket.versus.scenarios import SCENARIOS
from tests.integration.programs import ROOT, environment

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def hocket(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"cwd": ROOT, "env": environment(), **options}
    return subprocess.run(
        [sys.executable, "-m", "hocket", *words],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_help_lists_the_scenarios() -> None:
    quick = [name for name, each in SCENARIOS.items() if each.quick is not None]
    assert ", ".join(quick) == QUICK
    assert sorted(set(SCENARIOS) - set(quick)) == sorted(ONLY_FULL.split(", "))
    said = " ".join(hocket("versus", "--help").stdout.split())
    assert f"Scenarios: {QUICK}; and without --quick: {ONLY_FULL}." in said


@needs_gcc
@pytest.mark.slow
def test_a_head_to_head_of_python_and_hocket(tmp_path: Path) -> None:
    (tmp_path / "hocket.toml").write_text('path = "/elsewhere"\n')  # the reader's own servers'
    words = ["--quick", "--only", "hello", "--only", "echo", "--only", "code"]
    words += ["--platforms", "hocket", "--results", str(tmp_path)]
    done = hocket("versus", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"requests per second, one core, /s +[\d,]+", done.stdout)
    assert "1/3 A page over HTTP: Hocket, run 1" in done.stderr  # lines, as it is no terminal
    found = load(tmp_path / "versus.json")
    assert found.kind == "partial"
    assert found.failed == {}
    assert found.runs["echo"]["hocket"][0]["per_s"] > 0
    assert "<svg" not in (tmp_path / "versus.html").read_text()  # one column is nothing to compare
    again = hocket("versus", "--report", str(tmp_path / "versus.json"), "--markdown")
    assert again.stdout.strip() == (tmp_path / "versus.md").read_text().strip()


def test_missing_tool_chains_are_named_with_what_installs_them(tmp_path: Path) -> None:
    env = {**environment(), "PATH": str(tmp_path)}
    words = ["--only", "code,hello", "--platforms", "go,node,hocket"]
    done = hocket("versus", *words, "--results", str(tmp_path / "r"), env=env)
    assert done.returncode == 0, done.stderr
    assert "Go is left out: go is not installed: sudo apt-get install golang" in done.stderr
    assert "Node.js is left out: node is not installed" in done.stderr
    assert "hello: Hocket: gcc is not installed: sudo apt-get install gcc" in done.stderr
    assert "Traceback" not in done.stderr
    assert "building what is not built yet" in done.stderr.splitlines()[0]
    found = load(tmp_path / "r/versus.json")
    assert set(found.columns) == {"hocket"}
    assert set(found.missing) == {"go", "node"}
    assert found.runs["code"]["hocket"][0]["chat"] > 10


@needs_gcc
def test_no_connection_of_the_load_rests_longer_than_another() -> None:
    """Node.js and uvicorn close those that rest for 5 s, and then there is no figure."""
    asked: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(asked)
        asked.append(0)
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                asked[number] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        load = await asyncio.create_subprocess_exec(
            Maker().load("http"), str(port), "4", stdin=PIPE, stdout=PIPE
        )
        assert load.stdin is not None
        assert load.stdout is not None
        await load.stdout.readline()
        load.stdin.write(b"100 0.4 GET / 0\n")
        assert json.loads(await load.stdout.readline())["requests"] > 30
        load.stdin.close()
        await load.wait()
        server.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))
    assert max(asked) - min(asked) <= 1


@needs_gcc
def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hocket", "versus", "--platforms", "hocket", "--only", "code"]
    command += ["--only", "hello", "--repeats", "50", "--results", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        lines = []
        for line in running.stderr:
            lines.append(line)
            if "A page over HTTP: Hocket, run 1\n" in line:
                running.send_signal(signal.SIGINT)
    assert "stopped: these are the results so far\n" in lines, lines
    assert running.returncode == 130
    found = load(tmp_path / "versus.json")
    assert found.kind == "partial"
    assert len(found.runs["code"]["hocket"]) == 50
    assert "Stopped before all was measured." in (tmp_path / "versus.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["versus", "--only", "dance"], "'dance' is no scenario; there are hello, start,"),
        (["versus", "--platforms", "cobol"], "'cobol' is no platform; there are go, node,"),
        (["versus", "--peer", "go"], "--peer is NAME=FOLDER with one of go, node,"),
        (["versus", "--peer", "go=/nowhere"], "there is no folder '/nowhere'"),
        (["versus", "--repeats", "-1"], "--repeats is from 1 to 100"),
        (["versus", "--repeats", "0"], "--repeats is from 1 to 100"),
        (
            ["versus", "--only", "code", "--results", "/proc/x"],
            "/proc/x cannot be written: No such",
        ),
        (["versus", "--report", "/nowhere.json"], "/nowhere.json is no file of results"),
        (["advise", "--team", "ruby"], "team is some of go, javascript, typescript, python"),
        (["advise", "--file", "/nowhere.toml"], "/nowhere.toml cannot be read as TOML"),
    ],
)
def test_errors_are_one_line(words: list[str], said: str) -> None:
    done = hocket(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hocket: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_platforms_sources_can_be_swapped(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(HERE / "peers/hocket", mine)
    page = mine / "hello.py"
    page.write_text(page.read_text() + "\n\nprint('one')\nprint('more')\nprint('and more')\n")
    flags = ["--only", "code", "--platforms", "hocket", "--results", str(tmp_path / "r")]
    assert hocket("versus", *flags, "--peer", f"hocket={mine}").returncode == 0
    found = load(tmp_path / "r/versus.json")
    maker = Maker()
    usual = SCENARIOS["code"].run(Run(Plan([], [], True), maker, fresh("quick", maker), None)  # type: ignore[arg-type]
                                  ._contest(SCENARIOS["code"], "hocket"))  # fmt: skip
    assert found.runs["code"]["hocket"][0]["hello"] == usual["hello"] + 3
    assert "Sources swapped: hocket" in found.notes


def test_advice_says_whose_figures_it_goes_by(tmp_path: Path) -> None:
    stored = hocket("advise", "--connections", "50000", cwd=tmp_path).stdout
    assert stored.startswith("Figures: none of this machine, so those that come with Hocket")
    assert re.search(r"^1\. Hocket \(\+", stored, re.MULTILINE)
    assert "What would change the first line:" in stored
    (tmp_path / "versus-results").mkdir()
    shutil.copy(HERE / "stored.json", tmp_path / "versus-results/versus.json")
    mine = hocket("advise", "--json", "--connections", "50000", cwd=tmp_path)
    told = json.loads(mine.stdout)
    assert told["figures"].startswith("Figures: versus-results/versus.json, a ")
    assert told["ranking"][0]["key"] == "hocket"


def test_two_runs_are_compared() -> None:
    path = str(HERE / "stored.json")
    said = hocket("versus", "--agree", path, path).stdout
    assert re.match(r"\d+ cells: the same verdict in 100 %, no tie in \d+ %\n", said)
    assert command.agreement(load(Path(path)), load(Path(path))) == said.strip()
