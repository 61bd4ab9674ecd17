"""The official JavaScript client, unmodified, through each proxy: the same tests as without one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.certificates import Certificate
from tests.deploy.fronts import running
from tests.deploy.ports import reserved
from tests.integration import test_clients_node as clients
from tests.integration import test_stages_node as stages
from tests.integration.programs import SERVED, Program, program

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js"),
    pytest.mark.skipif(
        not (clients.NODE / "node_modules/socket.io-client").exists(),
        reason="npm ci was not run in tests/node",
    ),
]

test_the_whole_conversation = clients.test_the_whole_conversation
test_an_upgrade_moves_once = clients.test_an_upgrade_ends_the_poll_once_and_moves_once
test_a_refusal_arrives_with_its_data = clients.test_a_refusal_arrives_with_its_data
test_an_unknown_namespace = clients.test_an_unknown_namespace
test_a_kicked_client_stays_away = clients.test_whom_the_server_disconnects_does_not_come_back

test_each_client_is_on_its_way = stages.test_each_client_is_on_its_way
test_nothing_is_lost = stages.test_nothing_is_lost_doubled_or_overtaken_while_a_client_moves
test_an_upgrade_takes_one_probe = stages.test_an_upgrade_takes_one_probe_and_one_upgrade
test_a_question_is_one_packet_each_way = stages.test_a_question_is_one_packet_each_way


@pytest.fixture(scope="module")
def seen(url: str) -> Any:
    """What the stages saw."""
    command = ["node", "stages.mjs", url]
    done = subprocess.run(command, cwd=clients.NODE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("trusting_node")
def test_the_client_reconnects_after_a_restart_behind_the_proxy(
    name: str, certificate: Certificate, tmp_path: Path
) -> None:
    with reserved(1) as (port,), program(*SERVED, env={"HOCKET_PORT": str(port)}) as first:
        upstream = first.url().removeprefix("http://")
        with running(name, upstream, certificate, tmp_path) as front:
            client = Program(["node", "client.mjs", front.url, "reconnect"], clients.NODE, None)
            try:
                assert client.line() == "connected 0"
                first.stop()
                with program(*SERVED, env={"HOCKET_PORT": str(port)}) as second:
                    second.url()
                    assert client.line() == "connected 1"
                    assert client.line() == '{"done":true}'
            finally:
                client.stop()
