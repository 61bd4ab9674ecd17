"""The chat page that `hocket serve` brings, used by people in a real browser."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.browser import chromium, complaints, needs_chromium
from tests.integration.programs import Program, program

pytestmark = needs_chromium
SERVE = [sys.executable, "-m", "hocket", "serve", "--port"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Program]:
    with program(*SERVE, "0") as server:
        yield server


def enter(browser: Browser, url: str, name: str, room: str = "kitchen") -> Page:
    """A person in a browser of their own, in a room."""
    page = browser.new_context().new_page()
    page.goto(url)
    page.fill("#name", name)
    page.fill("#room", room)
    page.click("#enter")
    connected(page)
    return page


def connected(page: Page) -> None:
    expect(page.locator("#state")).to_have_attribute("data-state", "connected", timeout=20_000)


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def test_two_people_talk(browser: Browser, server: Program) -> None:
    url = server.url()
    ada = enter(browser, url, "ada")
    wrong = complaints(ada)
    bob = enter(browser, url, "bob")
    expect(ada.locator("#members li")).to_have_count(2)
    say(ada, "hello <b>bob</b>")
    expect(bob.locator(".message .text").last).to_have_text("hello <b>bob</b>")
    expect(bob.locator(".message .user").last).to_have_text("ada")
    say(bob, "hello ada")
    expect(ada.locator(".message .text").last).to_have_text("hello ada")
    expect(ada.locator(".message")).to_have_count(2)
    bob.locator("#text").press_sequentially("I am thinking aloud", delay=150)
    expect(ada.locator("#typing")).to_contain_text("bob is typing")
    bob.context.close()
    expect(ada.locator("#members li")).to_have_count(1)
    assert wrong == []
    ada.context.close()


def test_a_newcomer_sees_what_was_said(browser: Browser, server: Program) -> None:
    url = server.url()
    ada = enter(browser, url, "ada")
    for number in range(3):
        say(ada, f"line {number}")
    expect(ada.locator(".message")).to_have_count(3)
    bob = enter(browser, url, "bob")
    expect(bob.locator(".message .text")).to_have_text(["line 0", "line 1", "line 2"])
    other = enter(browser, url, "eve", room="garden")
    expect(other.locator(".message")).to_have_count(0)
    for page in (ada, bob, other):
        page.context.close()


def test_it_survives_a_restart_of_the_server(browser: Browser) -> None:
    with program(*SERVE, "0") as first:
        url = first.url()
        ada, bob = enter(browser, url, "ada"), enter(browser, url, "bob")
    expect(ada.locator("#state")).not_to_have_attribute("data-state", "connected")
    say(ada, "typed while nobody was there")
    with program(*SERVE, url.rpartition(":")[2]):
        for page in (ada, bob):
            connected(page)
        expect(bob.locator(".message .text").last).to_have_text("typed while nobody was there")
        say(bob, "we are back")
        expect(ada.locator(".message .text").last).to_have_text("we are back")
        for page in (ada, bob):
            page.context.close()


def test_a_token_is_asked_for_where_one_is_needed(browser: Browser) -> None:
    secret = {"HOCKET_SECRET": "s" * 32}
    with program(sys.executable, "-m", "hocket", "token", "--user", "ada", env=secret) as made:
        token = made.line()
    with program(*SERVE, "0", env=secret) as server:
        page = browser.new_context().new_page()
        page.goto(server.url() + "/?room=kitchen")
        page.fill("#name", "whoever")
        page.click("#enter")
        expect(page.locator("#token")).to_be_visible()
        page.fill("#token", token)
        page.click("#enter")
        connected(page)
        expect(page.locator("#members li")).to_contain_text([re.compile("ada")])
        page.context.close()
