"""The official JavaScript client, stage by stage: over which transport, with how many packets."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import WAYS, program

HERE = Path(__file__).resolve().parent
NODE = HERE.parent / "node"
MANY = 200  # as in stages.mjs

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js"),
    pytest.mark.skipif(
        not (NODE / "node_modules/socket.io-client").exists(),
        reason="npm ci was not run in tests/node",
    ),
]


@pytest.fixture(scope="module", params=WAYS)
def seen(request: pytest.FixtureRequest) -> Any:
    with program(*WAYS[request.param], env={"HOCKET_PORT": "0"}) as server:
        done = subprocess.run(
            ["node", "stages.mjs", server.url()],
            cwd=NODE,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_client_is_on_its_way(seen: Any) -> None:
    ways = [(client["first"], client["last"]) for client in seen["clients"]]
    assert ways == [("websocket", "websocket"), ("polling", "polling"), ("polling", "websocket")]


def test_nothing_is_lost_doubled_or_overtaken_while_a_client_moves(seen: Any) -> None:
    numbers = list(range(MANY))
    websocket, polling, mover = seen["clients"]
    assert websocket["heard"] == numbers
    assert polling["heard"] == numbers
    assert mover["heard"] == [*numbers, MANY], "the last was for a room of its own"
    assert seen["answers"] == numbers


def test_an_upgrade_takes_one_probe_and_one_upgrade(seen: Any) -> None:
    """The probe and its answer travel outside the session, so the client does not count them."""
    before = seen["clients"][2]["counts"]["before"]
    assert before["in open"] == 1
    assert before.get("in noop", 0) <= 1
    assert "in close" not in before
    # CONNECT, joining and the questions; the noops and pings aside nothing else went out.
    assert before["out message"] == 1 + 1 + MANY
    # The answer to CONNECT, the welcome with its attachment, the ack of joining, and the rest.
    assert before["in message"] == 1 + 2 + 1 + MANY + MANY


@pytest.mark.parametrize("number", [0, 1, 2], ids=["websocket", "polling", "upgraded"])
def test_a_question_is_one_packet_each_way(seen: Any, number: int) -> None:
    counts = seen["clients"][number]["counts"]
    joined = 1 if number == 2 else 0
    assert counts["after"] == {"out message": 10 + joined, "in message": 10 + joined}
    assert counts["binary"] == {"out message": 3, "in message": 3}, "a text and two attachments"
