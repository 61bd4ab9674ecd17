"""`python docs/screenshot.py [FOLDER]`: pictures of the chat page; docs/chat.png is one of them.

Runs `hocket serve`, lets three people talk in real browsers, and takes desktop, dark and phone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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


def enter(browser: Browser, url: str, name: str, dark: bool = False, phone: bool = False) -> Page:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    scheme = "dark" if dark else "light"
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()  # type: ignore[arg-type]
    page.goto(url + "/?room=general")
    page.fill("#name", name)
    page.click("#enter")
    page.wait_for_selector('#state[data-state="connected"]', state="attached")
    return page


def main(folder: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "hocket", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    try:
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
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
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
