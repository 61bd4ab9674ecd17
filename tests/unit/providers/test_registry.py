"""Which providers there are, and what is said when settings are missing or wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from hocket.errors import UsageError
from hocket.providers import registry
from hocket.providers.outbound import retry_after
from hocket.providers.vapid import make_private_key, public_key
from hocket.settings import load
from tests.integration.programs import environment
from tests.peers import settings

WEBHOOK = {"webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
EMAIL = {"email_server": "smtp://mail.example.com", "email_from": "k@example.com"}


def names(**given: Any) -> list[str]:
    return [provider.name for provider in registry.configured(settings(**given))]


def test_what_has_its_settings_is_there() -> None:
    assert names() == []
    assert names(**WEBHOOK) == ["webhook"]
    vapid = {"vapid_private_key": make_private_key(), "vapid_subject": "https://example.com"}
    assert names(**WEBHOOK, **EMAIL, **vapid) == ["webpush", "webhook", "email"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"email_from": "k@example.com"}, "EMAIL_FROM is set, and HOCKET_EMAIL_SERVER is not"),
        ({"vapid_private_key": "x"}, "VAPID_PRIVATE_KEY is set, and HOCKET_VAPID_SUBJECT is not"),
        ({"vapid_private_key": "x", "vapid_subject": "mailto:a@b"}, "make one with `hocket vapid`"),
        (
            {"vapid_private_key": "A" * 43, "vapid_subject": "mailto:a@b"},  # zero is no key
            "make one with `hocket vapid`",
        ),
        (
            {"vapid_private_key": make_private_key(), "vapid_subject": "me"},
            "HOCKET_VAPID_SUBJECT is how a push service reaches you",
        ),
        ({"fcm_credentials": "/nowhere"}, "HOCKET_FCM_CREDENTIALS: .*No such file"),
        (
            {"apns_key": "/nowhere", "apns_key_id": "K", "apns_team": "T", "apns_topic": "x"},
            "HOCKET_APNS_KEY: .*No such file",
        ),
        ({"webhook_secret": "x"}, "HOCKET_WEBHOOK_SECRET is"),
    ],
)
def test_what_is_wrong_is_said_so(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        names(**given)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="aiohttp")

    monkeypatch.setattr(registry, "import_module", missing)
    with pytest.raises(UsageError, match=r"webhook needs aiohttp: pip install 'hocket\[push\]'"):
        names(**WEBHOOK)


def test_secrets_are_no_flags() -> None:
    from hocket.settings import rows

    secret = {row.name for row in rows() if row.secret}
    assert {"vapid_private_key", "webhook_secret", "email_server"} <= secret
    assert load({}, environ={"HOCKET_WEBHOOK_SECRET": "x"}, file=None).webhook_secret == "x"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 86_400.0),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:16:50 GMT", 10.0),
        ("Thu Jan  1 00:16:50 1970", 10.0),
        *((wrong, None) for wrong in ("", "-1", "1.5", "soon", "٣", "1e9", "nan")),
    ],
)
def test_retry_after(value: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "JST-9")  # dates are UTC wherever we are
    time.tzset()
    assert retry_after(value, now=1000.0) == seconds
    monkeypatch.undo()
    time.tzset()


def test_hocket_vapid_makes_a_key_and_its_settings() -> None:
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hocket", "vapid", *arguments],
            capture_output=True,
            text=True,
            env=environment(env),
            timeout=60,
            check=False,
        )

    made = run("--subject", "mailto:ada@example.com")
    lines = made.stdout.splitlines()
    key = lines[0].removeprefix("HOCKET_VAPID_PRIVATE_KEY=")
    assert lines[1] == "HOCKET_VAPID_SUBJECT=mailto:ada@example.com"
    assert lines[2].endswith(f": {public_key(key)}")
    assert run("--public", HOCKET_VAPID_PRIVATE_KEY=key).stdout.strip() == public_key(key)
    wrong = run("--subject", "ada")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
    assert run("--public").stderr == "hocket: set HOCKET_VAPID_PRIVATE_KEY first\n"
