"""Where users may send the server, and where not."""

from __future__ import annotations

import socket

import pytest

from hocket.providers.guard import BlockedError, check_url, is_public, open_socket


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Path?q=1#part", "https://example.com/Path?q=1"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://example.com./x", "https://example.com/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_a_url_has_one_spelling(url: str, spelled: str) -> None:
    assert check_url(url) == spelled
    assert check_url(spelled) == spelled


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("//example.com/", "must begin with https://"),
        ("https://user@example.com/", "user or a password"),
        ("https://user:pw@example.com/", "user or a password"),
        ("https://example.com@10.0.0.1/", "user or a password"),
        ("https://127.0.0.1/", "not an IP address"),
        ("https://8.8.8.8/", "not an IP address"),
        ("https://2130706433/", "not an IP address"),
        ("https://0x7f000001/", "not an IP address"),
        ("https://0x7f.1/", "not an IP address"),
        ("https://127.1/", "not an IP address"),
        ("https://127.0.0.1./", "not an IP address"),
        ("https://[::1]/", "needs a host name"),
        ("https://[::ffff:10.0.0.1]/", "needs a host name"),
        ("https://localhost/", "not a host of the public internet"),
        ("https://intranet/", "not a host of the public internet"),
        ("https://printer.local/", "not a host of the public internet"),
        ("https://metadata.google.internal/", "not a host of the public internet"),
        ("https://example.com:22/", "port 22 is not allowed"),
        ("https://example.com:80/", "port 80 is not allowed"),
        ("https://example.com:99999/", "not a URL"),
        ("https://example.com\\@10.0.0.1/", "not a URL"),
        ("https://exa mple.com/", "not a URL"),
        ("https://example.com/\r\nX: y", "not a URL"),
        ("https://bücher.example/", "not a URL"),
        ("https:///path", "needs a host name"),
        ("https://-example.com/", "needs a host name"),
        ("https://exa%6dple.com/", "needs a host name"),
        ("https://" + "a" * 64 + ".com/", "needs a host name"),
        ("https://example.com/" + "a" * 2000, "at most 2000 characters"),
        ("", "not a URL"),
    ],
)
def test_what_a_url_may_not_be(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_url(url)


def test_a_setting_opens_everything_but_nonsense() -> None:
    assert check_url("http://127.0.0.1:80/x", allow_private=True) == "http://127.0.0.1/x"
    assert check_url("http://localhost:99/", allow_private=True) == "http://localhost:99/"
    assert check_url("http://[::1]:99/", allow_private=True) == "http://[::1]:99/"
    with pytest.raises(ValueError, match="user or a password"):
        check_url("http://user@localhost/", allow_private=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:7f00:1::"),
        *("64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "64:ff9b:1:ffff::1"),
        "not an address",
    ],
)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


def test_no_socket_is_made_for_a_private_address() -> None:
    with pytest.raises(BlockedError):
        open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443)))
    with open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))) as made:
        assert made.family == socket.AF_INET
