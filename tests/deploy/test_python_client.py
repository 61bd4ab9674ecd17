"""python-socketio's client, through each proxy, on each transport."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.deploy.fronts import Front
from tests.deploy.python_client import MANY
from tests.integration.programs import program

CLIENT = [sys.executable, str(Path(__file__).parent / "python_client.py")]


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling+websocket"])
def test_the_whole_conversation(front: Front, transports: str) -> None:
    trusting = {"SSL_CERT_FILE": str(front.certificate.public)}
    with program(*CLIENT, front.url, transports, env=trusting) as client:
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
