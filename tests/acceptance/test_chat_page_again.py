"""The chat page, opened again: what is kept over a reload, and what the browser has to say of it
from its very first byte.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.browser import chromium, complaints, needs_chromium
from tests.integration.programs import Program, program

pytestmark = needs_chromium
SERVE = [sys.executable, "-m", "hocket", "serve", "--port", "0"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Program]:
    with program(*SERVE) as server:
        yield server


def blank(browser: Browser) -> tuple[Page, list[str]]:
    """A page that tells of every complaint, policy violations too, before it has gone anywhere."""
    page = browser.new_context().new_page()
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) =>"
        " console.error('violates', event.violatedDirective, event.blockedURI))"
    )
    return page, complaints(page)


def enter(page: Page, name: str, room: str) -> None:
    page.fill("#name", name)
    page.fill("#room", room)
    page.click("#enter")
    expect(page.locator("#state")).to_have_attribute("data-state", "connected")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def test_a_reload_leads_straight_back(browser: Browser, server: Program) -> None:
    url = server.url()
    ada, wrong = blank(browser)
    ada.goto(url)
    enter(ada, "ada", "kitchen")
    bob, _ = blank(browser)
    bob.goto(url)
    enter(bob, "bob", "kitchen")
    say(ada, "before the reload")
    expect(bob.locator(".message .text")).to_have_text(["before the reload"])
    ada.reload()
    expect(ada.locator("#state")).to_have_attribute("data-state", "connected")
    expect(ada.locator("#entry")).to_be_hidden()
    expect(ada.locator(".message .text")).to_have_text(["before the reload"])
    expect(ada.locator("#members li")).to_have_text(["ada", "bob"])
    say(bob, "welcome back")
    expect(ada.locator(".message .text")).to_have_text(["before the reload", "welcome back"])
    say(ada, "thanks")
    expect(bob.locator(".message .user").last).to_have_text("ada")
    assert wrong == []
    ada.context.close()
    bob.context.close()


def test_a_link_leads_into_its_room(browser: Browser, server: Program) -> None:
    page, wrong = blank(browser)
    page.goto(server.url() + "/?room=garden%20%26%20shed")
    page.fill("#name", "ada")
    page.click("#enter")
    expect(page.locator("#title")).to_have_text("# garden & shed")
    assert wrong == []
    page.context.close()


def test_markup_and_links_in_names_and_messages_stay_text(
    browser: Browser, server: Program
) -> None:
    page, wrong = blank(browser)
    page.goto(server.url())
    evil = "<img src=x onerror=alert(1)>"
    enter(page, evil, f"room {evil}")
    say(page, f"{evil} javascript:alert(1) https://example.com/a?b=1")
    expect(page.locator(".message .text")).to_have_text(
        [f"{evil} javascript:alert(1) https://example.com/a?b=1"]
    )
    expect(page.locator(".message .user").first).to_have_text(evil)
    hrefs = page.locator(".message .text a").evaluate_all("links => links.map(one => one.href)")
    assert hrefs == ["https://example.com/a?b=1"]
    assert page.locator("img[src=x]").count() == 0
    assert wrong == []
    page.context.close()


def test_two_tabs_of_one_person_are_one_member(browser: Browser, server: Program) -> None:
    url = server.url()
    first, _ = blank(browser)
    first.goto(url)
    enter(first, "ada", "kitchen")
    second = first.context.new_page()
    second.goto(url)
    enter(second, "ada", "kitchen")
    say(second, "from the other tab")
    expect(first.locator(".message .text")).to_have_text(["from the other tab"])
    expect(first.locator("#members li")).to_have_text(["ada"])
    second.close()
    say(first, "still here")
    expect(first.locator("#members li")).to_have_text(["ada"])
    first.context.close()
