"""What proxies say: the Forwarded fields, the PROXY protocol."""

from __future__ import annotations

import contextlib
import socket as sockets
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.errors import HTTPError
from hocket.protocol.proxy import (
    V2_START,
    Hop,
    Introduction,
    forwarded,
    introduction,
    plain_address,
    x_forwarded,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:4711 ", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", ""),
        ("_hidden", ""),
        ("203.0.113.7, 10.0.0.1", ""),
        ("", ""),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert plain_address(text) == address


@pytest.mark.parametrize(
    ("addresses", "schemes", "hops"),
    [
        ("203.0.113.7", "https", [Hop("203.0.113.7", "https")]),
        ("203.0.113.7", "", [Hop("203.0.113.7", "")]),
        ("1.1.1.1, 10.0.0.2", "HTTPS", [Hop("1.1.1.1", "https"), Hop("10.0.0.2", "https")]),
        ("1.1.1.1,10.0.0.2", "https,http", [Hop("1.1.1.1", "https"), Hop("10.0.0.2", "http")]),
        ("1.1.1.1", "https, http", [Hop("1.1.1.1", "http")]),
    ],
)
def test_x_forwarded(addresses: str, schemes: str, hops: list[Hop]) -> None:
    assert x_forwarded(addresses, schemes) == hops


@pytest.mark.parametrize(
    ("value", "hops"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop("192.0.2.60", "http")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop("2001:db8:cafe::17", "")]),
        ("for=192.0.2.43, for=198.51.100.17", [Hop("192.0.2.43", ""), Hop("198.51.100.17", "")]),
        ('for=_x;secret="a,b;c";proto=HTTPS', [Hop("", "https")]),
        ("for=192.0.2.43,", [Hop("192.0.2.43", "")]),
        ("for", []),
        ("for=a b", []),
        ('for="192.0.2.43', []),
        ("junk, for=192.0.2.43;proto=https", [Hop("192.0.2.43", "https")]),
        (", , for=192.0.2.43", [Hop("192.0.2.43", "")]),
        ("for=1.1.1.1, for=a b, for=192.0.2.43", [Hop("192.0.2.43", "")]),
        ('for="junk, for=192.0.2.43', []),
        ("x" * 9_000 + ", for=192.0.2.43", [Hop("192.0.2.43", "")]),
        ("", []),
    ],
)
def test_forwarded(value: str, hops: list[Hop]) -> None:
    assert forwarded(value) == hops


@given(st.text(max_size=60))
def test_any_text_is_read_in_time(text: str) -> None:
    forwarded(text)
    x_forwarded(text, text)


def version_2(command: int, family: int, addresses: bytes, values: bytes = b"") -> bytes:
    rest = addresses + values
    return V2_START + bytes((command, family)) + struct.pack(">H", len(rest)) + rest


V4 = sockets.inet_aton("203.0.113.7") + sockets.inet_aton("192.0.2.1") + bytes(4)
V6 = sockets.inet_pton(sockets.AF_INET6, "2001:db8::1") + bytes(16) + bytes(4)
TLS = b"\x20\x00\x05\x01\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("header", "client", "secure"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", "203.0.113.7", False),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "2001:db8::1", False),
        (b"PROXY UNKNOWN\r\n", "", False),
        (b"PROXY UNKNOWN ffff:f...f:ffff whatever\r\n", "", False),
        (version_2(0x21, 0x11, V4), "203.0.113.7", False),
        (version_2(0x21, 0x21, V6), "2001:db8::1", False),
        (version_2(0x21, 0x11, V4, b"\x03\x00\x04abcd" + TLS), "203.0.113.7", True),
        (version_2(0x21, 0x11, V4, b"\x20\x00\x05\x00\x00\x00\x00\x00"), "203.0.113.7", False),
        (version_2(0x20, 0x00, b""), "", False),
        (version_2(0x21, 0x31, bytes(216)), "", False),
    ],
)
def test_introductions(header: bytes, client: str, secure: bool) -> None:
    for size in range(len(header)):
        assert introduction(header[:size]) is None, size
    assert introduction(header + b"GET /") == Introduction(client, secure, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY TCP4 nobody 192.0.2.1 1 2\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n",
        b"PROXY " + b"x" * 120,
        version_2(0x31, 0x11, V4),
        version_2(0x22, 0x11, V4),
        version_2(0x21, 0x11, V4[:5]),
        version_2(0x21, 0x11, bytes(5_000)),
    ],
)
def test_bad_introductions(data: bytes) -> None:
    with pytest.raises(HTTPError):
        introduction(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_introduction_or_refused(data: bytes) -> None:
    for start in (b"", V2_START, b"PROXY "):
        with contextlib.suppress(HTTPError):
            introduction(start + data)
