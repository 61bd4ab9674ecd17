"""The REST API does what its OpenAPI document promises: schemathesis asks a real server, with the
same questions in every run.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.acceptance.test_keys import ENV, HOCKET, key
from tests.integration.programs import environment, program

CONFIG = Path(__file__).with_name("schemathesis.toml")
QUESTIONS = "6"  # made up for each operation


@pytest.mark.slow
def test_what_the_document_promises(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    words = ["serve", "--port", "0", "--data", data, "--max-payload", "100000"]
    token = subprocess.check_output(
        [*HOCKET, "token", "--user", "ada"], env=environment(ENV), text=True
    ).strip()
    with program(*HOCKET, *words, env=ENV) as server:
        document = f"{server.url()}/v1/openapi.json"
        for bearer in (key("create", "--data", data), token):
            done = schemathesis(document, bearer, tmp_path)
            assert done.returncode == 0, done.stdout[-8_000:]
            assert "Tested: 21" in done.stdout


def schemathesis(url: str, bearer: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sysconfig.get_path("scripts")) / "schemathesis"
    how = f"--checks all --max-examples {QUESTIONS} --generation-deterministic --no-color"
    words = ["run", url, *how.split(), "--exclude-path", "/v1/events", "--request-timeout", "20"]
    who = ["--header", f"Authorization: Bearer {bearer}"]
    return subprocess.run(
        [sys.executable, str(command), "--config-file", str(CONFIG), *words, *who],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
