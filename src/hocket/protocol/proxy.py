"""What proxies in front say of the client: the Forwarded fields and the PROXY protocol.

    X-Forwarded-For: 203.0.113.7, 10.0.0.2      X-Forwarded-Proto: https
    Forwarded: for="[2001:db8::1]:4711";proto=https, for=10.0.0.2           (RFC 7239)
    PROXY TCP4 203.0.113.7 192.0.2.1 4711 443           (haproxy.org, version 1; 2 is binary)

Anybody can write such lines: whose count is for the caller to decide.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

from hocket.errors import HTTPError

V1_START: Final = b"PROXY "
V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LONGEST: Final = 107  # bytes with CRLF
_V2_HEAD: Final = 16
_V2_LONGEST: Final = 4_096  # of addresses and TLVs; the protocol allows 65,535
_LOCAL: Final = 0x20  # version 2, command LOCAL: a health check of the proxy's own
_PROXY: Final = 0x21
_SIZES: Final = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6: bytes of one address
_TLV_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01
# With what it ends at only in quotes. Those without an end have the rest: linear in any text.
_PIECE = r'(?:"(?:[^"\\]|\\(?:.|$))*(?:"|$)|[^"{}])+'
_ELEMENTS = re.compile(_PIECE.format(","))
_PAIRS = re.compile(_PIECE.format(",;"))
_LONGEST: Final = 1_024  # characters of Forwarded; four hops take 200
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)\s*')
MOST_HOPS: Final = 32


class Hop(NamedTuple):
    """What one proxy says: `client` is the peer that it saw (an IP address, or "" where it hides
    that), `scheme` how that one came ("" if it does not say).
    """

    client: str
    scheme: str


class Introduction(NamedTuple):
    """A PROXY header: who really connected ("": the proxy itself), whether over TLS, and how many
    bytes the header took.
    """

    client: str
    secure: bool
    size: int


def plain_address(text: str) -> str:
    """An IP address without brackets, port, zone and quotes; "" for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def x_forwarded(addresses: str, schemes: str) -> list[Hop]:
    """The hops of X-Forwarded-For and X-Forwarded-Proto, the nearest last. Proxies that write one
    scheme mean the client's. What is farther away than `MOST_HOPS` is left out: a client says it.
    """
    nearest = addresses.rsplit(",", MOST_HOPS)[-MOST_HOPS:]
    clients = [plain_address(each) for each in nearest]
    said = [each.strip().lower() for each in schemes.split(",")]
    said = [said[0]] * (len(clients) - len(said)) + said
    return [Hop(*each) for each in zip(clients, said[-len(clients) :], strict=True)]


def forwarded(value: str) -> list[Hop]:
    """The hops of Forwarded (RFC 7239 section 4), the nearest last: those behind the last one that
    is malformed, for proxies add theirs to whatever a client says.
    """
    if len(value) > _LONGEST:  # a client says what is farther away, and of quotes without an end
        value = value[-_LONGEST:].partition(",")[2]
    hops: list[Hop] = []
    for element in _ELEMENTS.findall(value):
        if not (pairs := element.strip()):
            continue  # RFC 9110 section 5.6.1.2
        said: dict[str, str] = {}
        for pair in _PAIRS.findall(pairs):
            match = _PAIR.fullmatch(pair)
            if match is None:
                said.clear()
                break
            said[match[1].lower()] = match[2].strip('"')
        if said:
            hops.append(Hop(plain_address(said.get("for", "")), said.get("proto", "").lower()))
        else:
            hops.clear()
    return hops


def introduction(data: bytes) -> Introduction | None:
    """The PROXY header at the start of a connection; None until it is whole. Raises HTTPError for
    anything else.
    """
    if data.startswith(V2_START[: len(data)]) and len(data) < _V2_HEAD:
        return None
    if data.startswith(V2_START):
        return _version_2(data)
    if not data.startswith(V1_START[: len(data)]):
        raise HTTPError(400, "a PROXY header is needed: see the setting `proxy_protocol`")
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise HTTPError(400, "the PROXY header is too long")
        return None
    return _version_1(data[:end])


def _version_1(line: bytes) -> Introduction:
    words = line.decode("latin-1").split(" ")
    size = len(line) + 2
    if words[1:2] == ["UNKNOWN"]:
        return Introduction("", False, size)
    client = plain_address(words[2]) if len(words) == 6 and words[1] in ("TCP4", "TCP6") else ""
    if not client:
        raise HTTPError(400, "bad PROXY header")
    return Introduction(client, False, size)


def _version_2(data: bytes) -> Introduction | None:
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY) or length > _V2_LONGEST:
        raise HTTPError(400, "bad PROXY header")
    size = _V2_HEAD + length
    if len(data) < size:
        return None
    width = _SIZES.get(family)
    if command == _LOCAL or width is None:
        return Introduction("", False, size)
    end = _V2_HEAD + 2 * width + 4
    if end > size:
        raise HTTPError(400, "bad PROXY header")
    client = str(ip_address(data[_V2_HEAD : _V2_HEAD + width]))
    return Introduction(plain_address(client), _over_tls(data[end:size]), size)


def _over_tls(values: bytes) -> bool:
    """Whether the client came over TLS: the flag in the type-length-value field PP2_TYPE_SSL."""
    at = 0
    while at + 3 <= len(values):
        length = int.from_bytes(values[at + 1 : at + 3], "big")
        if values[at] == _TLV_SSL and length:
            return bool(values[at + 3] & _CLIENT_SSL) if at + 3 < len(values) else False
        at += 3 + length
    return False
