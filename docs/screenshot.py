"""`python docs/screenshot.py [FOLDER]`: pictures of the chat page; docs/chat.png and
docs/notifications.png are two of them.

Runs `hocket serve`, lets three people talk in real browsers, and takes desktop, dark and phone;
then a server with data, for the inbox and the preferences.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
TALK = [
    ("ada", "Morning! The new build is up on staging."),
    ("kim", "Nice, the page loads twice as fast here."),
    ("sam", "Same. What did you change?"),
    ("ada", "One broadcast is one encode now, and then only writes."),
    ("kim", "So who brings the cake?"),
    ("sam", "I do. 15:00, kitchen!"),
]

NEWS = [
    ("Your invoice for October", "€ 42.00, paid by card.", "/invoices/4711"),
    ("Backup finished", "", ""),
    ("kim mentioned you in #kitchen", "So who brings the cake? It is 14:50 already.", "/"),
]
HOCKET = [sys.executable, "-m", "hocket"]


@contextmanager
def serving(*words: str, **env: str) -> Iterator[str]:
    """A server's URL."""
    command = [*HOCKET, "serve", "--port", "0", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait()


def enter(browser: Browser, url: str, name: str, dark: bool = False, phone: bool = False) -> Page:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    scheme = "dark" if dark else "light"
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()  # type: ignore[arg-type]
    page.goto(url if "?" in url else url + "/?room=general")
    if name:
        page.fill("#name", name)
    page.click("#enter")
    page.wait_for_selector('#state[data-state="connected"]', state="attached")
    return page


def talk(browser: Browser, folder: Path) -> None:
    with serving() as url:
        people = {name: enter(browser, url, name) for name in ("ada", "kim", "sam")}
        for name, text in TALK:
            people[name].fill("#text", text)
            people[name].press("#text", "Enter")
            people["ada"].get_by_text(text).wait_for()
        people["sam"].locator("#text").press_sequentially("with cherries", delay=200)
        people["ada"].get_by_text("sam is typing").wait_for()
        people["ada"].screenshot(path=folder / "chat.png")
        dark = enter(browser, url, "lee", dark=True)
        dark.get_by_text(TALK[-1][1]).wait_for()
        dark.screenshot(path=folder / "chat-dark.png")
        phone = enter(browser, url, "mo", phone=True)
        phone.get_by_text(TALK[-1][1]).wait_for()
        phone.screenshot(path=folder / "chat-phone.png")


def hocket(*words: str, said: str = "", **env: str) -> str:
    environment = {**os.environ, **env}
    return subprocess.check_output([*HOCKET, *words], input=said, text=True, env=environment)


def notify(browser: Browser, folder: Path, data: str) -> None:
    secret = "s" * 32
    token = hocket("token", "--user", "ada", HOCKET_SECRET=secret).strip()
    for title, body, link in NEWS:
        words = ["--title", title, "--body", body, "--url", link, "--no-wait"]
        hocket("notify", "--data", data, "--users", "-", *words, said="ada")
    with serving("--data", data, HOCKET_SECRET=secret) as url:
        for name, dark, phone in [
            ("", False, False),
            ("-dark", True, False),
            ("-phone", False, True),
        ]:
            page = enter(browser, f"{url}/?room=general#token={token}", "", dark, phone)
            page.click("#bell")
            page.locator("#items .item").nth(2).wait_for()
            if not name:
                page.locator("#items .item").nth(1).get_by_role("button", name="Mark read").click()
                page.hover("#inbox-title")
            page.screenshot(path=folder / f"notifications{name}.png")
            page.click("#open-wishes")
            page.locator("#channels label").last.wait_for()
            page.screenshot(path=folder / f"preferences{name}.png")


def main(folder: Path) -> None:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as data:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        talk(browser, folder)
        notify(browser, folder, data)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
