"""The official client in a real browser, through each proxy: the same tests as without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.acceptance import test_browser as browsers
from tests.acceptance.browser import CHROMIUM, FLAGS, needs_chromium
from tests.acceptance.test_chat_page import enter, say
from tests.deploy.certificates import Certificate
from tests.deploy.fronts import running
from tests.deploy.ports import reserved
from tests.integration.programs import SERVED, program

pytestmark = [
    *needs_chromium,
    pytest.mark.skipif(
        not (browsers.TESTS / "node/node_modules/socket.io-client").exists(),
        reason="npm ci was not run",
    ),
]

test_the_whole_conversation = browsers.test_the_whole_conversation
test_a_namespace = browsers.test_a_namespace
test_a_page_of_another_origin = browsers.test_a_page_of_another_origin_is_kept_out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """That does not ask who signed a certificate."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, "--ignore-certificate-errors"]
        )
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def test_it_reconnects_after_a_restart_behind_the_proxy(
    browser: Browser, name: str, certificate: Certificate, tmp_path: Path
) -> None:
    with reserved(1) as (port,), program(*SERVED, env={"HOCKET_PORT": str(port)}) as first:
        upstream = first.url().removeprefix("http://")
        with running(name, upstream, certificate, tmp_path) as front:
            context = browser.new_context()
            page = context.new_page()
            page.goto(front.url)
            page.evaluate(
                browsers.TALK, ["", {"reconnectionDelay": 50, "reconnectionDelayMax": 100}]
            )
            first.stop()
            with program(*SERVED, env={"HOCKET_PORT": str(port)}) as second:
                second.url()
                page.wait_for_function("window.socket.connected")
                assert page.evaluate("window.socket.emitWithAck('echo', 5)") == [5]
            context.close()


def test_two_people_talk_on_the_chat_page(
    browser: Browser, name: str, certificate: Certificate, tmp_path: Path
) -> None:
    with program(sys.executable, "-m", "hocket", "serve", "--port", "0") as server:
        upstream = server.url().removeprefix("http://")
        with running(name, upstream, certificate, tmp_path) as front:
            ada, bob = enter(browser, front.url, "ada"), enter(browser, front.url, "bob")
            say(ada, "hello bob")
            bob.get_by_text("hello bob").wait_for()
            say(bob, "hello ada")
            ada.get_by_text("hello ada").wait_for()
            for page in (ada, bob):
                page.context.close()
