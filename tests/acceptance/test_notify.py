"""`hocket notify` beside a running server, with webhooks to a sink on this machine."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hocket.cli.notify import read_time
from hocket.errors import UsageError
from hocket.notify.service import MAX_AHEAD
from hocket.store.base import GetNotification, Inbox, JoinTopic, RegisterDevice, SeeUsers
from hocket.store.sqlite.local import SqliteStore
from tests.acceptance.test_cli import failed
from tests.contract.stores import client, local
from tests.integration.programs import ROOT, environment, program
from tests.support import asynchronous

HOCKET = [sys.executable, "-m", "hocket"]
ENV = {
    "HOCKET_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"k" * 32).decode(),
    "HOCKET_ALLOW_PRIVATE_ENDPOINTS": "1",
}


class Sink(BaseHTTPRequestHandler):
    """Takes webhooks; refuses those for /bad for good, and lets those for /slow wait."""

    got: list[Any]
    go_on: threading.Event
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.path, body))
        if self.path == "/slow":
            self.go_on.wait(60)
        self.send_response(400 if self.path == "/bad" else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def sink(go_on: threading.Event | None = None) -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []
    its = {"got": got, "go_on": go_on or threading.Event()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Its", (Sink,), its))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def notify(data: Path, *words: str, said: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HOCKET, "notify", "--data", str(data), *words],
        env=environment(env),
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
    )


@asynchronous
async def fill(data: Path, url: str) -> None:
    """ada has two webhooks, bob one that refuses, cy none; bob and cy are in `news`."""
    store = SqliteStore(data)
    await store.do(SeeUsers(("ada", "bob", "cy")))
    for user, path in [("ada", "/1"), ("ada", "/2"), ("bob", "/bad")]:
        await store.do(RegisterDevice(user, "webhook", url + path, 50.0))
    for user in ("bob", "cy"):
        await store.do(JoinTopic("news", user))
    await store.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_it_waits_and_says_what_became_of_it(data: Path, tmp_path: Path) -> None:
    with sink() as (url, got):
        fill(data, url)
        with program(*HOCKET, "serve", "--port", "0", "--data", str(data), env=ENV) as server:
            server.url()
            users = tmp_path / "users"
            users.write_text("ada\n\n cy \nada\n")
            done = notify(data, "--users", str(users), "--title", "hello", "--url", "/there")
            assert done.returncode == 0, done.stderr
            assert "done, for 2 users" in done.stdout
            assert "  webhook  2 delivered" in done.stdout.splitlines()
            assert "2 of 2: 2 delivered, 0 failed" in done.stderr
            assert sorted(path for path, _ in got) == ["/1", "/2"]
            assert got[0][1]["data"]["title"] == "hello"

            done = notify(data, "--all", "--body", "for everybody", "--json")
            assert done.returncode == 1
            assert done.stderr == ""
            told = json.loads(done.stdout)
            assert told["recipients"] == 3
            assert told["state"] == "done"
            assert told["providers"] == {"webhook": {"delivered": 2, "failed": 1}}
            assert told["deliveries"]["failed"] == 1


def test_a_repeat_with_a_key_notifies_once(data: Path) -> None:
    with sink() as (url, got):
        fill(data, url)
        with program(*HOCKET, "serve", "--port", "0", "--data", str(data), env=ENV) as server:
            server.url()
            words = ["--users", "-", "--title", "once", "--key", "k1", "--json"]
            first = json.loads(notify(data, *words, said="ada\ncy\n").stdout)
            again = json.loads(notify(data, *words, said="cy\nada\n").stdout)
            assert first["id"] == again["id"]
            assert len(got) == 2
            other = notify(data, *words, said="ada\n")
            assert other.returncode == 2
            assert "this idempotency key was used for something else" in other.stderr


def test_a_dry_run_counts_and_stores_nothing(data: Path) -> None:
    fill(data, "http://127.0.0.1:9")
    done = notify(data, "--all", "--title", "hello", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["for 3 users; nothing was stored", "  webhook  3 devices"]
    done = notify(data, "--topic", "news", "--title", "hello", "--dry-run", "--json")
    assert json.loads(done.stdout) == {"recipients": 2, "devices": {"webhook": 1}}
    assert inbox(data) == []


@asynchronous
async def _inbox(data: Path, found: list[str]) -> None:
    store = SqliteStore(data)
    for row in await store.do(Inbox("cy", after=0)):
        await store.do(GetNotification(row.id))
        found.append(json.loads(row.content)["title"])
    await store.close()


def inbox(data: Path) -> list[str]:
    found: list[str] = []
    _inbox(data, found)
    return found


def test_without_a_server_it_is_stored_only_if_nobody_waits(data: Path) -> None:
    fill(data, "http://127.0.0.1:9")
    words = ["--topic", "news", "--title", "later"]
    refused = failed("notify", "--data", str(data), *words)
    assert "no server runs" in refused
    assert "--no-wait" in refused
    assert inbox(data) == []
    assert notify(data, *words, "--no-wait").returncode == 0
    assert inbox(data) == ["later"]


def test_ctrl_c_ends_the_wait_and_not_the_notification(data: Path) -> None:
    go_on = threading.Event()
    with sink(go_on) as (url, _):
        fill(data, url)
        register(data, "ada", url + "/slow")
        with program(*HOCKET, "serve", "--port", "0", "--data", str(data), env=ENV) as server:
            server.url()
            waiting = subprocess.Popen(
                [*HOCKET, "notify", "--data", str(data), "--all", "--title", "x"],
                env=environment({}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                assert waiting.stderr is not None
                assert " of " in waiting.stderr.readline()  # it shows how it goes
                become(data, (2, 1, 1))
                waiting.send_signal(signal.SIGINT)
                printed, said = waiting.communicate(timeout=60)
            finally:
                waiting.kill()
            assert waiting.returncode == 130
            assert printed == ""
            told, _, goes_on = said.splitlines()[-1].partition("; ")
            assert told == "hocket: stopped waiting at 3 of 4: 2 delivered, 1 failed"
            assert re.fullmatch(r"\w+ goes on on the server", goes_on)
            assert "Traceback" not in said
            go_on.set()
            become(data, (3, 1, 0))


def statuses(data: Path) -> list[tuple[int, int, int]]:
    """Of the notifications in cy's inbox: delivered, failed, pending."""
    found: list[tuple[int, int, int]] = []

    @asynchronous
    async def ask() -> None:
        async with client(data) as store:
            for item in await store.do(Inbox("cy", after=0)):
                row = await store.do(GetNotification(item.id))
                found.append((row.delivered, row.failed, row.pending))

    ask()
    return found


def become(data: Path, wanted: tuple[int, int, int]) -> None:
    deadline = time.monotonic() + 60
    while statuses(data) != [wanted]:
        assert time.monotonic() < deadline, statuses(data)
        time.sleep(0.02)


@asynchronous
async def register(data: Path, user: str, token: str) -> None:
    async with local(data) as store:
        await store.do(RegisterDevice(user, "webhook", token, 50.0))


def test_time_passes_and_it_goes_on(data: Path) -> None:
    fill(data, "http://127.0.0.1:9")  # where nobody listens: it is tried again and again
    with program(*HOCKET, "serve", "--port", "0", "--data", str(data), env=ENV) as server:
        server.url()
        done = notify(data, "--users", "-", "--title", "slow", "--timeout", "0.5", said="ada")
        assert done.returncode == 1
        assert "not done after 0.5 s; it goes on" in done.stderr
        assert "  webhook  2 pending" in done.stdout.splitlines()
        at = str(int(time.time()) + 3_600)
        done = notify(data, "--all", "--title", "tomorrow", "--send-at", at)
        assert done.returncode == 0
        assert "scheduled, for 3 users" in done.stdout


def test_a_template_is_filled_in(data: Path, tmp_path: Path) -> None:
    fill(data, "http://127.0.0.1:9")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "sale.toml").write_text('title = "{{ percent }} % off"\n')
    words = ["--topic", "news", "--template", "sale", "--no-wait"]
    env = {"HOCKET_TEMPLATES": str(folder)}
    assert notify(data, *words, "--variables", '{"percent": 20}', **env).returncode == 0
    assert inbox(data) == ["20 % off"]
    missing = failed("notify", "--data", str(data), *words, HOCKET_TEMPLATES=str(folder))
    assert "percent" in missing
    assert "HOCKET_TEMPLATES" in failed("notify", "--data", str(data), *words)


def test_the_times_that_are_given_as_examples_can_be_used() -> None:
    """Whenever they are read."""
    page = (ROOT / "docs/howto/notify-from-a-shell.md").read_text()
    written = re.search(r"--send-at (.*?)`", page)
    assert written is not None
    shown = subprocess.check_output(["sh", "-c", f"echo {written[1]}"], text=True).strip()
    with pytest.raises(UsageError) as raised:
        read_time("soon")
    said = str(raised.value).split("such as ")[1].split(" or ")
    for example in (shown, *said):
        assert time.time() < read_time(example) < time.time() + MAX_AHEAD


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--data DIR"),
        (["--data", "DATA", "--title", "x"], "--all, --topic TOPIC or --users FILE"),
        (["--data", "DATA", "--all", "--no-wait"], "a title, a body or a template"),
        (["--data", "DATA", "--users", "nowhere"], "--users nowhere: "),
        (["--data", "DATA", "--users", "/dev/null"], "there is no user in it"),
        (["--data", "DATA", "--users", "/dev/zero"], "one user a line"),
        (["--data", "DATA", "--all", "--send-at", "soon"], "--send-at 'soon' is no time"),
        (["--data", "DATA", "--all", "--variables", "{"], "--variables: "),
        (["--data", "DATA", "--all", "--variables", "[1]"], "the notification: Expected `object`"),
        (["--data", "DATA", "--all", "--ttl", "-1"], "`$.ttl`"),
    ],
)
def test_what_is_wrong(data: Path, words: list[str], expected: str) -> None:
    given = [str(data) if word == "DATA" else word for word in words]
    assert expected in failed("notify", *given)
