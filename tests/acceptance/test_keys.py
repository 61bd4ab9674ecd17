"""`hocket key`, beside a server and without one."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jwt

from tests.acceptance.test_cli import failed
from tests.integration.programs import environment, program

HOCKET = [sys.executable, "-m", "hocket"]
ENV = {"HOCKET_SECRET": "s" * 32}


def key(*words: str) -> str:
    return subprocess.check_output(
        [*HOCKET, "key", *words], env=environment({}), text=True, timeout=30
    ).strip()


def ask(url: str, bearer: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {bearer}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_from_a_key_to_an_inbox(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = key("create", "--data", str(data), "--name", "made before the server ran")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    note = {"audience": {"users": ["ada"]}, "notification": {"title": "hello"}}
    token = subprocess.check_output(
        [*HOCKET, "token", "--user", "ada"], env=environment(ENV), text=True
    ).strip()
    with program(*HOCKET, "serve", "--port", "0", "--data", str(data), env=ENV) as server:
        url = server.url()
        status, told = ask(f"{url}/v1/notifications", before, note)
        assert status == 202
        status, inbox = ask(f"{url}/v1/inbox", token)
        assert [each["id"] for each in inbox["items"]] == [told["id"]]

        small = key("create", "--data", str(data), "--scope", "devices", "--scope", "topics")
        status, told = ask(f"{url}/v1/notifications", small, note)
        assert (status, told["code"]) == (403, "scope-missing")
        lines = key("list", "--data", str(data)).splitlines()
        assert len(lines) == 2
        assert lines[0].endswith("  *  made before the server ran")
        assert "  devices,topics  " in lines[1] + "  "
        assert before.split("_", 2)[2] not in "".join(lines)

        assert key("revoke", "--data", str(data), before.split("_")[1]) == ""
        status, told = ask(f"{url}/v1/notifications", before, note)
        assert (status, told["code"]) == (401, "key-invalid")
        assert len(key("list", "--data", str(data)).splitlines()) == 1


def test_what_is_wrong(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    assert "no scope 'all'" in failed("key", "create", *data, "--scope", "all")
    assert "no such key" in failed("key", "revoke", *data, "0" * 16)
    assert "--data DIR" in failed("key", "list")


def test_a_token_for_an_audience() -> None:
    words = ["token", "--user", "ada", "--audience", "here", "--issuer", "me"]
    text = subprocess.check_output([*HOCKET, *words], env=environment(ENV), text=True).strip()
    claims = jwt.decode(text, ENV["HOCKET_SECRET"], ["HS256"], audience="here", issuer="me")
    assert claims["sub"] == "ada"
