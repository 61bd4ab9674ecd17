"""Which web pages may talk to the server, and what a browser is told about it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from hocket.protocol.http1 import Request, parse_head
from hocket.transport.origins import Origins

SAME = "https://chat.example"


def request(origin: str | None, host: str = "chat.example", method: str = "GET") -> Request:
    fields = "" if origin is None else f"Origin: {origin}\r\n"
    head = f"{method} /socket.io/?EIO=4 HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    return parse_head(head.encode("latin-1"))


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        (None, "chat.example", True),
        ("https://chat.example", "chat.example", True),
        ("http://chat.example", "chat.example", True),
        ("HTTPS://Chat.Example", "chat.EXAMPLE", True),
        ("https://chat.example:443", "chat.example", True),
        ("https://chat.example", "chat.example:443", True),
        ("http://chat.example:80", "chat.example", True),
        ("http://localhost:8080", "localhost:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("https://chat.example:444", "chat.example", False),
        ("http://localhost:8081", "localhost:8080", False),
        ("http://localhost", "localhost:8080", False),
        ("https://evil.example", "chat.example", False),
        ("https://chat.example.evil.example", "chat.example", False),
        ("https://evilchat.example", "chat.example", False),
        ("https://chat.example@evil.example", "chat.example", False),
        ("https://evil.example/chat.example", "chat.example", False),
        ("https://evil.example#chat.example", "chat.example", False),
        ("null", "chat.example", False),
        ("chat.example", "chat.example", False),
        ("https://", "chat.example", False),
        ("https://[::1", "chat.example", False),
        ("https://chat.example:x", "chat.example", False),
        ("https://chat.example:99999", "chat.example", False),
        ("\xff\xfe", "chat.example", False),
    ],
)
def test_without_a_setting_only_pages_of_the_same_host_may(
    origin: str | None, host: str, admitted: bool
) -> None:
    assert Origins(None).admits(request(origin, host)) is admitted


@pytest.mark.parametrize(
    ("allowed", "origin", "admitted"),
    [
        (["https://app.example"], "https://app.example", True),
        (["https://app.example/"], "https://app.example", True),
        (["HTTPS://App.Example"], "https://app.example", True),
        (("https://one.example", "https://two.example"), "https://two.example", True),
        (["https://app.example"], SAME, True),
        (["https://app.example"], None, True),
        (["https://app.example"], "http://app.example", False),
        (["https://app.example"], "https://app.example:444", False),
        (["https://app.example"], "https://sub.app.example", False),
        (["https://app.example"], "null", False),
        (["null"], "null", True),
        ([], "https://app.example", False),
        ("*", "https://anything.example", True),
        ("*", "null", True),
    ],
)
def test_a_list_of_origins(
    allowed: Collection[str] | str, origin: str | None, admitted: bool
) -> None:
    assert Origins(allowed).admits(request(origin)) is admitted


def test_what_a_browser_is_told() -> None:
    origins = Origins(["https://app.example"])
    assert dict(origins.headers(request("https://app.example"))) == {
        b"access-control-allow-origin": b"https://app.example",
        b"access-control-allow-credentials": b"true",
        b"vary": b"origin",
    }
    assert origins.headers(request("https://evil.example")) == []
    assert origins.headers(request(None)) == []


def test_with_a_star_no_cookies_count() -> None:
    """Or every page in the world could act with the user's cookies."""
    fields = dict(Origins("*").headers(request("https://anything.example")))
    assert fields[b"access-control-allow-origin"] == b"https://anything.example"
    assert b"access-control-allow-credentials" not in fields
    assert fields[b"vary"] == b"origin"


def test_preflight() -> None:
    origins = Origins(["https://app.example"])
    fields = dict(origins.preflight(request("https://app.example", method="OPTIONS")))
    assert b"POST" in fields[b"access-control-allow-methods"]
    assert b"authorization" in fields[b"access-control-allow-headers"]
    assert fields[b"access-control-allow-origin"] == b"https://app.example"
    asks = request("https://app.example", method="OPTIONS")
    field = (b"access-control-request-headers", b"x-session")
    asks = Request(asks.head, "OPTIONS", "1.1", [*asks.fields, field])
    assert dict(origins.preflight(asks))[b"access-control-allow-headers"] == b"x-session"
    assert origins.preflight(request("https://evil.example", method="OPTIONS")) == []
