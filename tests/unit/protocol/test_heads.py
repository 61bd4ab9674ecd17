"""Remembered heads are read exactly as new ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.errors import HTTPError
from hocket.protocol import heads
from hocket.protocol.heads import Heads
from hocket.protocol.http1 import Request, parse_head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
OTHER = b"x3JJHMbDL1EzLkh9GBhXDw=="
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
PAGE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def state(request: Request) -> dict[str, object]:
    replaced = {"_fields", "_replaced", "_value", "_values"}  # what `fields` and `get` are made of
    said = {name: request.get(name) for name, _ in request.fields}
    names = {*Request.__slots__, "fields"} - replaced
    return {name: getattr(request, name) for name in names} | {"said": said}


def read(parse: object, head: bytes) -> object:
    assert callable(parse)
    try:
        return state(parse(head))
    except HTTPError as error:
        return error.status, str(error)


def test_a_repeated_head_is_read_once() -> None:
    known = Heads()
    assert known.parse(PAGE) is known.parse(PAGE)


def test_an_upgrade_with_another_key_is_read_as_parse_head_reads_it() -> None:
    known = Heads()
    for key in (KEY, OTHER, KEY):
        head = UPGRADE % (key, b"")
        request = known.parse(head)
        assert state(request) == state(parse_head(head))
        assert request.get(b"sec-websocket-key") == key


def test_requests_of_one_form_do_not_share_what_they_say() -> None:
    known = Heads()
    known.parse(UPGRADE % (KEY, b""))
    first, second = (known.parse(UPGRADE % (key, b"")) for key in (KEY, OTHER))
    assert first.fields is not second.fields
    assert first.get(b"sec-websocket-key") == KEY
    assert first.head != second.head


def test_what_was_found_out_from_a_head_is_known_of_those_that_repeat_it() -> None:
    known = Heads()
    first, second = (known.parse(UPGRADE % (key, b"")) for key in (KEY, OTHER))
    first.notes["seen"] = True
    assert second.notes == known.parse(UPGRADE % (KEY, b"")).notes == {"seen": True}
    assert known.parse(UPGRADE % (KEY, b"X: y\r\n")).notes == {}


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE % (KEY + b"A", b""),
        UPGRADE % (KEY[:-2], b""),
        UPGRADE % (b"dGhlIHNhbXBsZSBub25\r\nZ==", b""),
        UPGRADE % (KEY + b" ", b""),
        UPGRADE % (KEY + b", " + KEY, b""),
        UPGRADE % (KEY + b"\r\n folded", b""),
        UPGRADE % (KEY, b"Sec-WebSocket-Key: " + OTHER + b"\r\n"),
        UPGRADE % (KEY, b"sec-websocket-key: " + OTHER + b"\r\n"),
        UPGRADE % (KEY, b"Content-Length: 3\r\n"),
        UPGRADE % (KEY, b"Transfer-Encoding: chunked\r\n"),
        UPGRADE % (KEY, b"Host: b\r\n"),
        UPGRADE % (KEY, b"X: \n\r\n"),
        (UPGRADE % (KEY, b"")).replace(b"Connection: Upgrade\r\n", b""),
        (UPGRADE % (KEY, b"")).replace(b"GET", b"POST"),
        PAGE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"),
    ],
)
def test_what_looks_alike_is_read_carefully(head: bytes) -> None:
    known = Heads()
    known.parse(UPGRADE % (KEY, b""))
    known.parse(PAGE)
    for _ in range(3):
        assert read(known.parse, head) == read(parse_head, head)


LINES = st.sampled_from(
    [
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Key: " + OTHER,
        b"sec-websocket-key: " + KEY,
        b"Connection: Upgrade",
        b"Connection: close",
        b"Upgrade: websocket",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Expect: 100-continue",
        b" folded",
        b"Host: b",
        b"X: Sec-WebSocket-Key: " + KEY,
        b"",
    ]
)


def by_name(request: object) -> object:
    """The order of fields of different names says nothing (RFC 9110 section 5.3)."""
    if isinstance(request, dict):
        return request | {"fields": sorted(request["fields"], key=lambda field: field[0])}
    return request


@given(st.lists(st.lists(LINES, max_size=6), min_size=2, max_size=6))
def test_any_heads_are_read_as_parse_head_reads_them(all_lines: list[list[bytes]]) -> None:
    known = Heads()
    for lines in all_lines:
        head = b"\r\n".join([b"GET /a HTTP/1.1", b"Host: a", *lines, b"", b""])
        assert by_name(read(known.parse, head)) == by_name(read(parse_head, head))


def test_few_are_remembered_and_no_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MANY", 2)
    known = Heads()
    first = known.parse(PAGE)
    known.parse(PAGE.replace(b"/", b"/1", 1))
    assert known.parse(PAGE) is first
    known.parse(PAGE.replace(b"/", b"/2", 1))
    assert known.parse(PAGE) is not first
    long = PAGE.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * heads.SHORT + b"\r\n\r\n")
    assert known.parse(long) is not known.parse(long)


def test_a_query_may_hold_anything_and_is_not_remembered() -> None:
    known = Heads()
    head = PAGE.replace(b"/", b"/?a=1", 1)
    assert known.parse(head) is not known.parse(head)
