"""Every example runs, and does what it says."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from tests.acceptance.browser import chromium, complaints, needs_chromium
from tests.integration.programs import program

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FREE = {"HOCKET_PORT": "0"}
APART = {**FREE, "HOCKET_APP_PROCESSES": "1", "HOCKET_WORKERS": "2"}
where = pytest.mark.parametrize("env", [FREE, APART], ids=["in the worker", "app processes"])
DJANGO = [sys.executable, str(EXAMPLES / "django_beside/serve.py")]
CLIENT = ROOT / "tests/node/node_modules/socket.io-client/dist/socket.io.esm.min.js"


def test_every_example_has_a_test() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}
    assert names == {
        "http_hello.py", "chat.py", "chat-typescript", "sse_ticker.py", "fastapi_beside.py",
        "django_beside", "bench_app.py",
    }  # fmt: skip


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


@where
def test_fastapi_beside(env: dict[str, str]) -> None:
    async def trade(url: str) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        ada = socketio.AsyncClient()
        ada.on("price", lambda *args: heard.put_nowait(args))
        await ada.connect(url)
        await ada.call("watch", "tea")
        async with aiohttp.ClientSession(url) as session:
            for name, status in (("cake", 200), ("rain", 404), ("tea", 200)):
                async with session.put(f"/api/prices/{name}?price=3") as answer:
                    assert answer.status == status
            assert await asyncio.wait_for(heard.get(), 10) == ("tea", 3)
            async with session.ws_connect("/api/ask") as asking:
                for name, price in (("tea", 3), ("rain", None)):
                    await asking.send_str(name)
                    assert await asking.receive_json(timeout=10) == price
        await ada.disconnect()

    with program(sys.executable, str(EXAMPLES / "fastapi_beside.py"), env=env) as server:
        asyncio.run(trade(server.url()))


@where
def test_django_beside(env: dict[str, str]) -> None:
    async def pin(url: str) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        ada = socketio.AsyncClient()
        ada.on("pinned", heard.put)
        await ada.connect(url)
        cookies = aiohttp.CookieJar(unsafe=True)  # the server has an address and no name
        async with aiohttp.ClientSession(url, cookie_jar=cookies) as session:
            token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', await page(session))
            assert token is not None
            for note, answer in ((" a < b ", 204), (" ", 400)):
                form = {"note": note, "csrfmiddlewaretoken": token[1]}
                async with session.post("/pin", data=form) as pinned:
                    assert pinned.status == answer
            assert await asyncio.wait_for(heard.get(), 10) == "a < b"
            assert "<li>a &lt; b</li>" in await page(session)
            async with session.get("/static/board.js") as script:
                assert "javascript" in script.headers["Content-Type"]
            async with session.post("/pin", data={"note": "of a stranger"}) as refused:
                assert refused.status == 403
        await ada.disconnect()

    async def page(session: aiohttp.ClientSession) -> str:
        async with session.get("/") as answer:
            return await answer.text()

    with program(*DJANGO, env=env) as server:
        asyncio.run(pin(server.url()))


@pytest.mark.browser
@pytest.mark.node
@needs_chromium[1]
@pytest.mark.skipif(not CLIENT.exists(), reason="npm ci was not run")
def test_django_beside_in_two_tabs() -> None:
    with program(*DJANGO, env=FREE) as server, chromium() as browser:
        url = server.url()
        ada, bob = browser.new_page(), browser.new_page()
        complained = [complaints(tab) for tab in (ada, bob)]
        for tab in (ada, bob):
            tab.route("https://**/socket.io.esm.min.js", lambda route: route.fulfill(path=CLIENT))
            tab.goto(url)
            tab.get_by_text("live").wait_for()
        ada.get_by_label("Note").fill("hello")
        ada.get_by_text("Pin").click()
        for tab in (ada, bob):
            tab.get_by_text("hello").wait_for()
        assert complained == [[], []]
