"""The bell of the page that `hocket serve --data` brings, in a real browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from hocket.providers.vapid import make_private_key
from hocket.store.base import JoinTopic, SeeUsers
from hocket.store.sqlite.local import SqliteStore
from tests.acceptance.browser import chromium, complaints, needs_chromium
from tests.acceptance.test_chat_page import connected
from tests.acceptance.test_notify import notify
from tests.integration.programs import Program, program
from tests.support import asynchronous

pytestmark = needs_chromium
ENV = {
    "HOCKET_SECRET": "s" * 32,
    "HOCKET_ALLOW_PRIVATE_ENDPOINTS": "1",
    "HOCKET_VAPID_SUBJECT": "mailto:ops@example.com",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def know(data: Path, *users: str) -> None:
    """In a thread of its own: the browser's driver runs a loop in this one."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_know, data, *users).result()


@asynchronous
async def _know(data: Path, *users: str) -> None:
    store = SqliteStore(data)
    await store.do(SeeUsers(users))
    await store.do(JoinTopic("news", users[0]))
    await store.close()


@contextmanager
def serving(data: Path, port: str = "0", **env: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "hocket", "serve", "--port", port, "--data", str(data)]
    key = {"HOCKET_VAPID_PRIVATE_KEY": make_private_key()}
    with program(*command, env={**ENV, **key, **env}) as server:
        yield server


@contextmanager
def entered(browser: Browser, url: str, user: str = "ada") -> Iterator[Page]:
    """A page of a user, in a browser of their own."""
    context = browser.new_context()
    try:
        yield another(context, url, user)
    finally:
        context.close()


def token_of(user: str) -> str:
    return jwt.encode({"sub": user, "exp": 4_000_000_000}, ENV["HOCKET_SECRET"])


def another(context: BrowserContext, url: str, user: str = "ada") -> Page:
    page = context.new_page()
    page.goto(f"{url}/?room=kitchen#token={token_of(user)}")
    page.click("#enter")
    connected(page)
    in_its_room(page)
    return page


def in_its_room(page: Page) -> None:
    """It keeps its token then, which is after it is connected. (`wait_for_function` evaluates text,
    which the page's policy forbids.)
    """
    for _ in range(1_000):
        if page.evaluate("sessionStorage.getItem('hocket.token')"):
            return
        page.wait_for_timeout(10)
    pytest.fail("the page has not joined its room")


def told(data: Path, title: str, *words: str, user: str = "ada") -> None:
    done = notify(data, "--users", "-", "--title", title, *words, "--no-wait", said=user)
    assert done.returncode == 0, done.stderr


def unread(page: Page, count: int) -> None:
    if count:
        expect(page.locator("#unread")).to_have_text(str(count))
        expect(page.locator("#bell")).to_have_attribute(
            "aria-label", f"Notifications, {count} unread"
        )
    else:
        expect(page.locator("#unread")).to_be_hidden()


def test_what_comes_is_seen_read_and_archived(browser: Browser, data: Path) -> None:
    know(data, "ada")
    told(data, "before")
    with serving(data) as server, entered(browser, server.url()) as page:
        wrong = complaints(page)
        unread(page, 1)
        told(data, "<b>live</b>", "--body", "now", "--url", "javascript:alert(1)")
        unread(page, 2)
        expect(page.locator("#toast")).to_have_text("<b>live</b>")
        page.focus("#bell")
        page.keyboard.press("Enter")
        expect(page.locator("#inbox-title")).to_be_focused()
        items = page.locator("#items .item")
        expect(items.locator("strong")).to_have_text(["<b>live</b>", "before"])
        expect(items.locator("a")).to_have_count(0)

        items.nth(0).get_by_role("button", name="Mark read").click()
        unread(page, 1)
        items.nth(0).get_by_role("button", name="Archive").click()
        expect(items).to_have_count(1)
        expect(items.get_by_role("button", name="Archive: before")).to_be_focused()
        page.click("#read-all")
        unread(page, 0)
        page.keyboard.press("Escape")
        expect(page.locator("#inbox")).to_be_hidden()
        expect(page.locator("#bell")).to_be_focused()
        assert wrong == []


def test_two_tabs_and_a_restart(browser: Browser, data: Path) -> None:
    know(data, "ada")
    told(data, "one")
    told(data, "two")
    with serving(data) as server:
        url = server.url()
        with entered(browser, url) as first:
            second = another(first.context, url)
            unread(second, 2)
            first.click("#bell")
            first.locator("#items .item").nth(1).get_by_role("button", name="Mark read").click()
            unread(second, 1)
            server.stop()
            expect(first.locator("#state")).not_to_have_attribute("data-state", "connected")
            told(data, "while away")
            with serving(data, url.rpartition(":")[2]):
                for page in (first, second):
                    connected(page)
                    unread(page, 2)
                told(data, "again")
                unread(second, 3)
                expect(first.locator("#items strong")).to_have_text(
                    ["again", "while away", "two", "one"]
                )


def test_more_is_loaded(browser: Browser, data: Path) -> None:
    know(data, "ada")
    for number in range(22):
        told(data, f"number {number}")
    with (
        serving(data) as server,
        entered(browser, url := server.url()) as page,
    ):
        unread(page, 22)
        page.click("#bell")
        expect(page.locator("#items .item")).to_have_count(20)
        page.click("#older")
        expect(page.locator("#items .item")).to_have_count(22)
        expect(page.locator("#items strong").last).to_have_text("number 0")
        expect(page.locator("#older")).to_be_hidden()

        # The server's word of what was archived here changes nothing here any more.
        with page.expect_response("**/archive"):
            page.locator("#items .item").first.get_by_role("button", name="Archive").click()
        second = another(page.context, url)
        second.click("#bell")
        second.click("#read-all")
        unread(page, 0)
        expect(page.locator("#items .item")).to_have_count(21)


def test_preferences_stick(browser: Browser, data: Path) -> None:
    know(data, "ada")
    with serving(data) as server, entered(browser, server.url()) as page:
        page.click("#bell")
        page.click("#open-wishes")
        page.get_by_label("Email").uncheck()
        page.get_by_label("news").uncheck()
        page.get_by_label("Hold pushes back").check()
        page.fill("#quiet-start", "21:30")
        page.select_option("#zone", "Asia/Tokyo")
        page.click("#save")
        expect(page.locator("#saved")).to_have_text("Saved")
        page.reload()
        connected(page)
        page.click("#bell")
        page.click("#open-wishes")
        expect(page.locator("#zone")).to_have_value("Asia/Tokyo")
        expect(page.get_by_label("Email")).not_to_be_checked()
        expect(page.get_by_label("Browser", exact=True)).to_be_checked()
        expect(page.get_by_label("news")).not_to_be_checked()
        expect(page.locator("#quiet-start")).to_have_value("21:30")


def test_what_the_page_does_not_show_of_a_topic_stays(browser: Browser, data: Path) -> None:
    know(data, "ada")
    with serving(data) as server, entered(browser, server.url()) as page:
        kept = {"topics": {"news": {"inbox": False, "live": True}}}
        page.evaluate(f"async () => await ({API}).put('/v1/preferences', {json.dumps(kept)})")
        page.click("#bell")
        page.click("#open-wishes")
        for change in (page.get_by_label("news").uncheck, page.get_by_label("news").check):
            change()
            with page.expect_response("**/v1/preferences"):
                page.click("#save")
        told = page.evaluate(f"async () => await ({API}).get('/v1/preferences')")
        assert {**told["topics"]["news"], **kept["topics"]["news"]} == told["topics"]["news"]
        assert told["topics"]["news"]["webpush"] is True


# What a browser gives that has reached its push service; the tests' machine reaches none.
SUBSCRIBES = """
const made = {
  unsubscribe: async () => { window.gone = true; return true; },
  toJSON: () => ({ endpoint: 'http://127.0.0.1:9/push/1', expirationTime: null, keys: {
    auth: 'AAAAAAAAAAAAAAAAAAAAAA',
    p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-'
      + 'AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
  } }),
};
PushManager.prototype.subscribe = async options => { window.asked = options; return made; };
PushManager.prototype.getSubscription = async () => window.asked ? made : null;
"""


API = """await (async () => {
    const { Api } = await import('/static/api.js');
    const api = new Api();
    api.token = JSON.parse(sessionStorage.getItem('hocket.token')) || window.bearer;
    window.bearer = api.token;
    return api;
})()"""


def devices(page: Page) -> list[str]:
    told = page.evaluate(f"async () => await ({API}).get('/v1/devices')")
    return [each["provider"] for each in told["items"]]


def test_pushes_are_shown_and_end_with_the_session(browser: Browser, data: Path) -> None:
    know(data, "ada")
    with serving(data) as server:
        url = server.url()
        context = browser.new_context()
        context.grant_permissions(["notifications"], origin=url)
        context.add_init_script(SUBSCRIBES)
        page = another(context, url)
        wrong = complaints(page)
        page.click("#bell")
        page.click("#open-wishes")
        page.click("#push")
        expect(page.locator("#push")).to_have_text("Turn off")
        assert devices(page) == ["webpush"]
        assert page.evaluate("asked.userVisibleOnly && asked.applicationServerKey.length") == 87

        for body in ("first", "again"):
            deliver(page, url, {"title": "Sale", "body": body, "url": "/?room=sale", "tag": "t1"})
        shown = page.evaluate(SHOWN)
        assert shown == [["Sale", "again", "t1", "/?room=sale"]]

        page.locator("#wishes .close").click()
        page.locator("#inbox .close").click()
        page.click("#switch")
        expect(page.locator("#entry")).to_be_visible()
        page.wait_for_function("window.gone")
        assert devices(page) == []
        assert wrong == []
        context.close()


SHOWN = """async () => (await (await navigator.serviceWorker.ready).getNotifications())
    .map(({ title, body, tag, data }) => [title, body, tag, data.url])"""


def until(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        page.wait_for_timeout(20)
    raise AssertionError("what the test waited for did not happen")


def deliver(page: Page, url: str, content: dict[str, str]) -> None:
    """As if the push service had sent it; wait until it is shown."""
    client = page.context.new_cdp_session(page)
    found: list[str] = []
    client.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(each["registrationId"] for each in event["registrations"]),
    )
    client.send("ServiceWorker.enable")
    until(page, lambda: bool(found))
    pushed = {"origin": url, "registrationId": found[-1], "data": json.dumps(content)}
    client.send("ServiceWorker.deliverPushMessage", pushed)
    # One question after the other: `wait_for_function` takes a promise for an answer.
    until(page, lambda: content["body"] in [body for _, body, *_ in page.evaluate(SHOWN)])
    client.detach()


def test_a_cookie_says_who_and_changes_carry_a_csrf_token(browser: Browser, data: Path) -> None:
    know(data, "ada")
    told(data, "by cookie")
    with serving(data) as server:
        url = server.url()
        context = browser.new_context()
        be_by_cookie(context, url, "ada")
        page = context.new_page()
        page.goto(f"{url}/?room=kitchen")
        page.click("#enter")
        connected(page)
        wrong = complaints(page)
        unread(page, 1)
        page.click("#bell")
        with page.expect_response("**/v1/inbox/read"):
            page.click("#read-all")
        unread(page, 0)
        page.reload()
        connected(page)
        expect(page.locator("#bell")).to_have_attribute("aria-label", "Notifications")
        page.click("#bell")
        expect(page.locator("#items .item")).to_have_count(1)
        expect(page.locator("#items .new")).to_have_count(0)
        assert wrong == []
        context.close()


def be_by_cookie(context: BrowserContext, url: str, user: str) -> None:
    context.add_cookies([{"name": "hocket_token", "value": token_of(user), "url": url}])


def test_what_is_late_is_not_shown_to_the_next_user(browser: Browser, data: Path) -> None:
    know(data, "ada", "bob")
    told(data, "for ada")
    held: list[Route] = []

    def hold(route: Route) -> None:
        """What ada's page asks for: the inbox, how many are unread; preferences, topics."""
        if len(held) < 4:
            held.append(route)
        else:
            route.continue_()

    with serving(data) as server, entered(browser, server.url()) as page:
        unread(page, 1)
        page.route("**/v1/**", hold)
        page.reload()
        connected(page)
        page.click("#bell")
        page.click("#open-wishes")
        for _ in range(1_000):
            if len(held) == 4:
                break
            page.wait_for_timeout(10)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.click("#switch")
        page.click("#enter")
        page.fill("#token", token_of("bob"))
        page.click("#enter")
        connected(page)
        page.click("#bell")
        page.click("#open-wishes")
        expect(page.locator("#zone")).not_to_have_value("")
        for route in held:
            with page.expect_response(route.request.url):
                route.continue_()
        told(data, "for bob", user="bob")
        unread(page, 1)
        expect(page.locator("#items strong")).to_have_text(["for bob"])
        expect(page.locator("#topics-box")).to_be_hidden()  # ada is in one


def test_a_cookie_that_names_somebody_else_by_now(browser: Browser, data: Path) -> None:
    know(data, "ada", "bob")
    told(data, "for ada")
    with serving(data) as server:
        url = server.url()
        context = browser.new_context()
        be_by_cookie(context, url, "ada")
        page = context.new_page()
        page.goto(f"{url}/?room=kitchen")
        page.click("#enter")
        connected(page)
        unread(page, 1)
        page.route("**/v1/**", lambda route: route.abort())
        be_by_cookie(context, url, "bob")
        server.stop()
        with serving(data, url.rpartition(":")[2]):
            expect(page.locator("#self")).to_have_text("bob", timeout=20_000)
            unread(page, 0)
            expect(page.locator("#items .item")).to_have_count(0)
            context.close()


def test_guests_and_servers_without_data_have_no_bell(browser: Browser, data: Path) -> None:
    command = [sys.executable, "-m", "hocket", "serve", "--port", "0"]
    for more, env in [(["--data", str(data)], {}), ([], {"HOCKET_SECRET": "s" * 32})]:
        with program(*command, *more, env=env) as server:
            context = browser.new_context()
            page = another(context, server.url())
            expect(page.locator("#members li")).to_have_count(1)
            expect(page.locator("#bell")).to_be_hidden()
            context.close()
