"""The official JavaScript client, unmodified, in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import SERVED as SERVER
from tests.integration.programs import WAYS, Program, program

HERE = Path(__file__).resolve().parent
NODE = HERE.parent / "node"

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js"),
    pytest.mark.skipif(
        not (NODE / "node_modules/socket.io-client").exists(),
        reason="npm ci was not run in tests/node",
    ),
]


@pytest.fixture(scope="module", params=WAYS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with program(*WAYS[request.param], env={"HOCKET_PORT": "0"}) as server:
        url = server.url()
        yield url
        if request.param != "alone":
            with urllib.request.urlopen(url + "/beside", timeout=10) as answer:
                assert answer.read() == b'"FastAPI"'


def see(url: str, scenario: str) -> Any:
    command = ["node", "client.mjs", url, scenario]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("scenario", "first", "last"),
    [
        ("websocket", "websocket", "websocket"),
        ("polling", "polling", "polling"),
        ("upgrade", "polling", "websocket"),
        ("namespace", "websocket", "websocket"),
    ],
)
def test_the_whole_conversation(url: str, scenario: str, first: str, last: str) -> None:
    seen = see(url, scenario)
    assert (seen["first"], seen["last"]) == (first, last)
    assert seen["welcome"] == ["ada", {"bytes": [1, 2]}]
    assert seen["namespace"] == ("/admin" if scenario == "namespace" else "/")
    assert seen["echo"] == [1, "two", {"three": [True, None]}]
    assert seen["binary"] == [{"bytes": [1, 2, 3]}, {"deep": [{"bytes": [4]}]}]
    assert (seen["asked"], seen["answer"]) == (21, 42)
    assert seen["room"] == ["hello"]
    assert seen["reason"] == "io client disconnect"


def test_an_upgrade_ends_the_poll_once_and_moves_once(url: str) -> None:
    """Clients count packets: one noop at the most, one pong to the probe, nothing twice."""
    packets = see(url, "upgrade")["packets"]
    assert packets["in"].count("noop") <= 1
    assert packets["out"].count("upgrade") <= 1
    assert packets["in"].count("open") + packets["in"].count("close") <= 1


def test_a_refusal_arrives_with_its_data(url: str) -> None:
    assert see(url, "refused") == {"message": "members only", "data": {"code": 7}}


def test_an_unknown_namespace(url: str) -> None:
    assert see(url, "unknown") == {"message": "Invalid namespace"}


def test_whom_the_server_disconnects_does_not_come_back(url: str) -> None:
    assert see(url, "kicked") == {"reason": "io server disconnect", "active": False}


def test_the_client_reconnects_after_a_restart_of_the_server() -> None:
    with program(*SERVER, env={"HOCKET_PORT": "0"}) as first:
        url = first.url()
        client = Program(["node", "client.mjs", url, "reconnect"], NODE, None)
        try:
            assert client.line() == "connected 0"
            first.stop()
            with program(*SERVER, env={"HOCKET_PORT": url.rpartition(":")[2]}) as second:
                assert second.url() == url
                assert client.line() == "connected 1"
                assert client.line() == '{"done":true}'
        finally:
            client.stop()
