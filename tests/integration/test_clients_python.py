"""python-socketio's client, as a program, on each transport."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import WAYS, program
from tests.integration.python_client import MANY

CLIENT = [sys.executable, str(Path(__file__).with_name("python_client.py"))]
TRANSPORTS = ["websocket", "polling", "polling+websocket"]


@pytest.fixture(scope="module", params=WAYS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with program(*WAYS[request.param], env={"HOCKET_PORT": "0"}) as server:
        yield server.url()


def converse(url: str, transports: str, env: dict[str, str] | None = None) -> None:
    """A whole conversation, and what must come of it."""
    with program(*CLIENT, url, transports, env=env) as client:
        seen = json.loads(client.line())
    for place in ("/", "/admin"):
        assert seen[place] == {
            "welcome": ["welcome", "ada", [1, 2]],
            "transport": transports.rpartition("+")[2],
            "echo": [1, {"deep": [[3]]}],
            "answer": 42,
            "room": [["in-room", at] for at in range(MANY)],
        }
    assert seen["refused"]


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_the_whole_conversation(url: str, transports: str) -> None:
    converse(url, transports)
