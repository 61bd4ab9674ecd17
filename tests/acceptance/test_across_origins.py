"""A page of one origin and a server of another, in a real browser: what the setting `origins` is
for. The page is one server's, the sockets are another's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.browser import chromium, needs_chromium
from tests.integration.programs import program

TESTS = Path(__file__).resolve().parents[1]
SERVER = [sys.executable, str(TESTS / "integration/served_app.py")]

pytestmark = [
    *needs_chromium,
    pytest.mark.skipif(
        not (TESTS / "node/node_modules/socket.io-client").exists(), reason="npm ci was not run"
    ),
]

CONNECT = """
([url, options]) => new Promise((done) => {
  const socket = io(url, { reconnection: false, auth: { user: "ada" }, ...options });
  const steps = [];
  const end = (outcome) => { socket.close(); done({ outcome, steps }); };
  socket.io.on("open", () => {
    steps.push(socket.io.engine.transport.name);
    socket.io.engine.on("upgrade", (transport) => steps.push(transport.name));
  });
  socket.on("connect_error", () => end("refused"));
  socket.on("welcome", async (name, data) => {
    const engine = socket.io.engine;
    if (steps.length < options.steps) await new Promise((on) => engine.once("upgrade", on));
    end([name, [...new Uint8Array(data)], await socket.emitWithAck("echo", "across")]);
  });
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def page_at(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()


def connect(page: Page, url: str, transports: list[str], **more: Any) -> Any:
    options = {"transports": transports, "steps": len(transports), **more}
    return page.evaluate(CONNECT, [url, options])


WELCOME = ["ada", [1, 2], ["across"]]
WAYS = [["polling"], ["websocket"], ["polling", "websocket"]]


def test_a_page_that_is_named_may_and_no_other(browser: Browser) -> None:
    with program(*SERVER, env={"HOCKET_PORT": "0"}) as pages:
        origin = pages.url()
        env = {"HOCKET_PORT": "0", "HOCKET_ORIGINS": f"https://elsewhere.example, {origin}"}
        with program(*SERVER, env=env) as server:
            url = server.url()
            with page_at(browser, origin) as page:
                for way in WAYS:
                    assert connect(page, url, way) == {"outcome": WELCOME, "steps": way}
                # Cookies need a permission of their own.
                seen = connect(page, url, ["polling"], withCredentials=True)
                assert seen["outcome"] == WELCOME
            with page_at(browser, origin.replace("127.0.0.1", "localhost")) as page:
                for way in WAYS:
                    assert connect(page, url, way)["outcome"] == "refused"


def test_any_page_may_where_any_is_said(browser: Browser) -> None:
    with program(*SERVER, env={"HOCKET_PORT": "0"}) as pages:
        origin = pages.url()
        with program(*SERVER, env={"HOCKET_PORT": "0", "HOCKET_ORIGINS": "*"}) as server:
            url = server.url()
            with page_at(browser, origin.replace("127.0.0.1", "localhost")) as page:
                for way in WAYS:
                    assert connect(page, url, way) == {"outcome": WELCOME, "steps": way}
                # With "*" nobody's cookies count: the browser withholds the answer.
                refused = connect(page, url, ["polling"], withCredentials=True)
                assert refused["outcome"] == "refused"
