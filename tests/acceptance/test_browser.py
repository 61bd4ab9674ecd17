"""The official client, unmodified, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.browser import chromium, needs_chromium
from tests.integration.programs import SERVED as SERVER
from tests.integration.programs import WAYS, program

TESTS = Path(__file__).resolve().parents[1]

pytestmark = [
    *needs_chromium,
    pytest.mark.skipif(
        not (TESTS / "node/node_modules/socket.io-client").exists(), reason="npm ci was not run"
    ),
]

# Runs in the page. `bytes` says what of a value is binary, as JSON cannot.
TALK = """
async ([url, options]) => {
  const bytes = (value) => value instanceof ArrayBuffer ? { bytes: [...new Uint8Array(value)] }
    : Array.isArray(value) ? value.map(bytes) : value;
  const once = (from, event) => new Promise((done) => from.once(event, (...args) => done(args)));
  const socket = io(url, { auth: { user: "ada" }, ...options });
  const first = once(socket.io, "open").then(() => socket.io.engine.transport.name);
  const failed = once(socket, "connect_error").then(([error]) => ({ error: error.message }));
  const welcome = once(socket, "welcome");
  socket.on("question", (value, answer) => answer(value * 2));
  const outcome = await Promise.race([failed, once(socket, "connect")]);
  if (outcome.error) return (socket.close(), outcome);
  const seen = { first: await first, welcome: bytes(await welcome) };
  const engine = socket.io.engine;
  if (!options.transports && engine.transport.name === "polling") await once(engine, "upgrade");
  seen.last = socket.io.engine.transport.name;
  seen.echo = bytes(await socket.emitWithAck("echo", 1, new Uint8Array([1, 2, 3])));
  seen.answer = await socket.emitWithAck("ask", 21);
  const room = once(socket, "in-room");
  await socket.emitWithAck("join", "kitchen");
  socket.emit("say", "kitchen", "hello");
  seen.room = await room;
  window.socket = socket;
  return seen;
}
"""


@pytest.fixture(scope="module", params=WAYS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with program(*WAYS[request.param], env={"HOCKET_PORT": "0"}) as server:
        yield server.url()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        ({}, "polling", "websocket"),
        ({"transports": ["websocket"]}, "websocket", "websocket"),
        ({"transports": ["polling"]}, "polling", "polling"),
    ],
    ids=["upgrade", "websocket", "polling"],
)
def test_the_whole_conversation(page: Page, options: Any, first: str, last: str) -> None:
    seen = page.evaluate(TALK, ["", options])
    assert (seen["first"], seen["last"]) == (first, last)
    assert seen["welcome"] == ["ada", {"bytes": [1, 2]}]
    assert seen["echo"] == [1, {"bytes": [1, 2, 3]}]
    assert seen["answer"] == 42
    assert seen["room"] == ["hello"]


def test_a_namespace(page: Page) -> None:
    assert page.evaluate(TALK, ["/admin", {}])["room"] == ["hello"]


def test_a_page_of_another_origin_is_kept_out(browser: Browser, url: str) -> None:
    """127.0.0.1 and localhost are two origins: one not named may neither poll nor upgrade."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url.replace("127.0.0.1", "localhost"))
    for transport in ("polling", "websocket"):
        seen = page.evaluate(TALK, [url, {"transports": [transport], "reconnection": False}])
        assert "error" in seen
    context.close()


def test_it_reconnects_after_a_restart_of_the_server(browser: Browser) -> None:
    with program(*SERVER, env={"HOCKET_PORT": "0"}) as first:
        url = first.url()
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.evaluate(TALK, ["", {"reconnectionDelay": 50, "reconnectionDelayMax": 100}])
    with program(*SERVER, env={"HOCKET_PORT": url.rpartition(":")[2]}) as second:
        assert second.url() == url
        page.wait_for_function("window.socket.connected")
        assert page.evaluate("window.socket.emitWithAck('echo', 5)") == [5]
    context.close()
