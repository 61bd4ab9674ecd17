"""Server-Sent Events in a real browser: its own `EventSource`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browser import chromium, needs_chromium
from tests.integration.programs import program

ROOT = Path(__file__).resolve().parents[2]
TICKER = [sys.executable, str(ROOT / "examples/sse_ticker.py")]
RESUMED = [sys.executable, str(Path(__file__).with_name("resumed_app.py"))]

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def test_the_ticker_example(browser: Browser) -> None:
    with program(*TICKER, env={"HOCKET_PORT": "0"}) as server:
        page = browser.new_page()
        page.goto(server.url())
        page.wait_for_function("document.querySelectorAll('li').length >= 3")
        numbers = [int(text) for text in page.locator("li").all_inner_texts()]
        assert numbers == sorted(set(numbers))
        page.close()


def test_a_browser_resumes_where_it_was(browser: Browser) -> None:
    """The server is stopped and started anew; `EventSource` says the last id that it has seen."""
    with program(*RESUMED, env={"HOCKET_PORT": "0"}) as first:
        url = first.url()
        page = browser.new_page()
        page.goto(url)
        page.wait_for_function("window.seen.length === 3")
        first.stop()
        with program(*RESUMED, env={"HOCKET_PORT": url.rpartition(":")[2]}) as second:
            assert second.url() == url
            page.wait_for_function("window.seen.length === 6")
            assert page.evaluate("window.seen") == [
                ["from", ""], ["n", 1], ["n", 2], ["from", "2"], ["n", 3], ["n", 4],
            ]  # fmt: skip
        page.close()
