"""Addresses that users supply: where a server may be sent on their behalf, and where not (SSRF).

`check_url` refuses what can be seen in a URL. The rest is decided where nothing can change any
more: `open_socket` is asked for every address that is about to be connected to, whatever a name
resolved to meanwhile.
"""

from __future__ import annotations

import errno
import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

MAX_URL: Final = 2_000  # characters
HTTPS: Final = 443
UNPRIVILEGED: Final = 1_024  # from here on ports are nobody's: below are mail, SSH and the like
_URL: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last four bytes
# RFC 8215: of a network's own translators. The `ipaddress` of older Pythons takes it for public.
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")


class BlockedError(OSError):
    """A name led to an address of this network; nothing was sent there."""

    def __init__(self) -> None:
        # One text for all addresses: of a name with several, the connector raises this one.
        super().__init__(errno.EACCES, "the address is not one of the public internet")


def check_url(url: str, allow_private: bool = False) -> str:
    """A URL that users supply, in its one spelling.

    With `allow_private` (tests) plain http, any port, IP addresses and short names are fine.

    Raises: ValueError that says what is wrong with it.
    """
    if len(url) > MAX_URL:
        raise ValueError(f"a URL has at most {MAX_URL} characters")
    if not _URL.fullmatch(url) or "\\" in url:
        raise ValueError("not a URL: it has spaces, or characters that are not ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise ValueError("the URL must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold a user or a password")
    host = _checked_host(parts.hostname or "", allow_private)
    if port is not None and not (allow_private or port == HTTPS or port >= UNPRIVILEGED):
        raise ValueError(f"port {port} is not allowed: 443, or {UNPRIVILEGED} and more")
    standard = HTTPS if parts.scheme == "https" else 80
    where = host if port in (None, standard) else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{where}{parts.path or '/'}{query}"


def origin_of(url: str) -> str:
    """The origin of a URL as `check_url` spells it: `https://host[:port]`."""
    return url[: url.index("/", len("https://"))]


def _checked_host(host: str, allow_private: bool) -> str:
    if ":" in host and allow_private:
        return f"[{IPv6Address(host)}]"
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise ValueError("the URL needs a host name")
    if allow_private:
        return host
    host = host.removesuffix(".")
    labels = host.split(".")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):  # 127.1 and 0x7f000001 are addresses, too
        raise ValueError("the URL must name a host, not an IP address")
    if len(labels) < 2 or labels[-1] in ("localhost", "local", "internal"):
        raise ValueError(f"{host} is not a host of the public internet")
    return host


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; an IPv4 address inside an IPv6 one is
    looked at as well.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.sixtofour or found.teredo or found.is_site_local or found in _LOCAL_NAT64:
            return False
        inner = found.ipv4_mapped
        if found in _NAT64:
            inner = IPv4Address(found.packed[-4:])
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return found.is_global and not found.is_multicast


def open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an answer of getaddrinfo, unless that leads into a private network: what
    aiohttp's connector calls right before it connects, so no DNS answer comes in between.

    Raises: BlockedError.
    """
    family, kind, protocol, _, where = address
    if not is_public(where[0]):
        raise BlockedError
    return socket.socket(family, kind, protocol)
