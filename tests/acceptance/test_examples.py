"""Every example runs, and does what it says."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.integration.programs import program

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FREE = {"HOCKET_PORT": "0"}


def test_every_example_has_a_test() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}
    assert names >= {"http_hello.py", "chat.py", "chat-typescript", "sse_ticker.py"}


def test_the_ten_line_http_server() -> None:
    with (
        program(sys.executable, str(EXAMPLES / "http_hello.py"), env=FREE) as server,
        urllib.request.urlopen(server.url() + "/", timeout=10) as answer,
    ):
        assert answer.read() == b"Hello from Hocket!"


def test_the_twenty_line_chat() -> None:
    async def talk(url: str) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        ada, bob = socketio.AsyncClient(), socketio.AsyncClient()
        bob.on("message", heard.put)
        await ada.connect(url, auth={"name": "ada"})
        await bob.connect(url, auth={"name": "bob"})
        assert await ada.call("message", {"room": "general", "text": "hello"}) == "delivered"
        line = await asyncio.wait_for(heard.get(), 10)
        assert (line["user"], line["text"]) == ("ada", "hello")
        await ada.call("join", "kitchen")
        await bob.disconnect()
        await ada.disconnect()

    with program(sys.executable, str(EXAMPLES / "chat.py"), env=FREE) as server:
        asyncio.run(talk(server.url()))


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
@pytest.mark.skipif(
    not (ROOT / "tests/node/node_modules/typescript").exists(), reason="npm ci was not run"
)
def test_the_same_chat_in_typescript(tmp_path: Path) -> None:
    """Type-checked and built by the TypeScript compiler, then run as it is."""
    for source in (EXAMPLES / "chat-typescript").glob("*.[tj]s*"):
        shutil.copy(source, tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "tests/node/node_modules")
    built = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc"], cwd=tmp_path, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout
    with program(sys.executable, str(EXAMPLES / "chat.py"), env=FREE) as server:
        said = subprocess.run(
            ["node", "chat.js", server.url(), "ada", "hello, everyone"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert said.stdout.splitlines() == ["ada: hello, everyone", "delivered"], said.stderr
