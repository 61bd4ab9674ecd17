"""The command line, as a person meets it: what works, and a clear line for what does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket as sockets
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import socketio

from hocket.instance.listener import _explain
from tests.integration.programs import environment, program

HOCKET = [sys.executable, "-m", "hocket"]
SECRET = "s" * 32
APP = "from hocket import App\napp = App()\n@app.get('/')\ndef hello():\n    return 'one'\n"


def failed(*words: str, cwd: Path | None = None, **env: str) -> str:
    """Run `hocket` with what cannot work; its one line on stderr."""
    done = subprocess.run(
        [*HOCKET, *words], cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("hocket: ")
    return lines[0]


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read()


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("", "nothing:app", "there is no module 'nothing'"),
        (APP, "main:other", "has no 'other'; its Apps are: app"),
        ("app = 5", "main:app", "is a int, not a hocket.App"),
        ("import nowhere", "main:app", "No module named 'nowhere' (main.py, line 1)"),
        ("x = 1\n1 / 0", "main:app", "ZeroDivisionError: division by zero (main.py, line 2)"),
        ("x = 1\nimport json\njson.loads('{')", "main:app", "(main.py, line 3)"),
        ("", "main.py:app", "name the module, as in main:app"),
        ("", "./main.py", "name the module, as in main:app"),
        ("def (", "main:app", "SyntaxError"),
        ("from hocket import App\nApp(ping_interval='x')", "main:app", "ping_interval"),
        ("from hocket import App\nApp(nonsense=1)", "main:app", "no setting is called 'nonsense'"),
        ("from hocket import App\nApp(recovery=60)", "main:app", "recovery=60 is not available"),
        (APP, "main", "is not of the form module:app"),
    ],
)
def test_what_is_wrong_with_an_app(tmp_path: Path, source: str, name: str, expected: str) -> None:
    (tmp_path / "main.py").write_text(source)
    assert expected in failed("run", name, cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--port", "99999"], "--port: '99999' is not possible"),
        (["--port", "many"], "--port: 'many' is not possible"),
        (["--host", "192.0.2.1"], "HOCKET_SECRET"),
        (["--host", "0.0.0.0"], "HOCKET_SECRET"),
        (["--trusted-proxies", "127.0.0.1"], "a proxy can be reached from other machines"),
        (["--workers", "4"], "workers=4 is not available"),
        (["--ping-interval", "0"], "--ping-interval"),
        (["--log-level", "loud"], "log_level"),
    ],
)
def test_what_is_wrong_with_a_setting(words: list[str], expected: str) -> None:
    assert expected in failed("serve", *words)


def test_what_is_wrong_with_the_environment_and_the_file(tmp_path: Path) -> None:
    assert "HOCKET_PORT: 'x'" in failed("serve", HOCKET_PORT="x")
    assert "needs 32 bytes" in failed("serve", "--port", "0", HOCKET_SECRET="short")
    nowhere = failed("serve", "--host", "256.1.1.1", HOCKET_SECRET=SECRET)
    assert "'256.1.1.1' is no address of this machine" in nowhere
    assert "set HOCKET_SECRET" in failed("token", "--user", "ada")
    (tmp_path / "hocket.toml").write_text("prot = 1")
    assert "hocket.toml: no setting is called 'prot': did you mean 'port'?" in failed(
        "serve", cwd=tmp_path
    )
    (tmp_path / "hocket.toml").write_text("port = ")
    assert "hocket.toml: " in failed("serve", cwd=tmp_path)


def test_a_variable_that_is_almost_a_setting() -> None:
    meant = "HOCKET_SECRT is no setting: did you mean HOCKET_SECRET?"
    assert meant in failed("serve", "--host", "0.0.0.0", HOCKET_SECRT=SECRET)
    env = {"HOCKET_SECRT": SECRET, "HOCKET_SERVICE_HOST": "10.0.0.1", "HOCKET_TEST_NOTES": "x"}
    with program(*HOCKET, "serve", "--port", "0", "--data", "", env=env) as server:
        server.url()
        server.signal(signal.SIGTERM)
        assert [line.partition("warning ")[2].strip() for line in server.errors()] == [meant]


def test_a_taken_port_and_a_forbidden_one() -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in failed("serve", "--port", str(port))
    forbidden = PermissionError(13, "Permission denied")
    assert "port 80 is forbidden" in _explain(forbidden, "127.0.0.1", 80)


def test_help_and_version() -> None:
    shown = subprocess.check_output([*HOCKET, "serve", "--help"], text=True)
    assert "HOCKET_PING_INTERVAL" in shown
    assert "default: 25.0 seconds" in shown
    assert "--compression yes|no" in shown
    assert subprocess.check_output([*HOCKET, "--version"], text=True).startswith("hocket 0.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with program(*HOCKET, "serve", "--port", "0") as server:
        url = server.url()
        assert get(url + "/healthz") == (200, b'{"status":"ok"}')
        assert get(url + "/readyz")[0] == 200
        assert b"<title>" in get(url + "/")[1]
        server.signal(number)
        assert server.status() == 0
        assert server.errors() == []


def test_the_file_the_environment_and_the_flag_win_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "hocket.toml").write_text(
        'path = "/from-file"\nping_interval = 7\nping_timeout = 8'
    )
    env = {"HOCKET_PING_INTERVAL": "9", "HOCKET_PING_TIMEOUT": "10", "HOCKET_PORT": "0"}
    words = ["serve", "--ping-timeout", "11"]
    with program(*HOCKET, *words, cwd=tmp_path, env=env) as server:
        opened = get(server.url() + "/from-file/?EIO=4&transport=polling")[1]
        handshake = json.loads(opened[1:])
        assert (handshake["pingInterval"], handshake["pingTimeout"]) == (9_000, 11_000)


def test_tokens_let_in_and_nothing_else_does() -> None:
    env = {"HOCKET_SECRET": SECRET}
    token = subprocess.check_output(
        [*HOCKET, "token", "--user", "ada"], env=environment(env), text=True
    ).strip()

    async def knock(url: str, **how: Any) -> Any:
        client = socketio.AsyncClient(reconnection=False)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client.on("welcome", heard.put)
        client.on("connect_error", heard.put)
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            await client.connect(url, **how)
        said = await asyncio.wait_for(heard.get(), 10)
        await client.disconnect()
        return said

    with program(*HOCKET, "serve", "--port", "0", env=env) as server:
        url = server.url()
        ways: list[dict[str, Any]] = [
            {"auth": {"token": token}},
            {"headers": {"Authorization": f"Bearer {token}"}},
            {"headers": {"Cookie": f"hocket_token={token}"}},
        ]
        for way in ways:
            assert asyncio.run(knock(url, **way))["user"] == "ada"
        for auth in ({}, {"name": "ada"}, {"token": token[:-2]}, {"token": 5}):
            refused = asyncio.run(knock(url, auth=auth))
            assert refused["data"] == {"code": "token-required"}


def test_log_lines_for_machines(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        APP + "@app.on('connect')\ndef connect(socket):\n    raise ValueError('\\n\\x1b[2J')\n"
    )

    async def knock(url: str) -> None:
        client = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(url)

    words = ["run", "main:app", "--port", "0", "--log-format", "json"]
    with program(*HOCKET, *words, cwd=tmp_path) as server:
        asyncio.run(knock(server.url()))
        server.said("ValueError")
        server.signal(signal.SIGTERM)
        line = json.loads(server.errors()[0])
    assert (line["level"], line["event"], line["namespace"]) == ("error", "connect", "/")
    assert "ValueError" in line["traceback"]


def test_reload_starts_anew_when_a_file_changes(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    words = ["run", "main:app", "--port", "0", "--reload"]
    with program(*HOCKET, *words, cwd=tmp_path) as server:
        assert get(server.url() + "/")[1] == b"one"
        # Of another length: Python's bytecode cache knows sources by second and size.
        (tmp_path / "main.py").write_text(APP.replace("one", "changed"))
        assert get(server.url() + "/")[1] == b"changed"
        server.said("main.py changed, starting anew")
