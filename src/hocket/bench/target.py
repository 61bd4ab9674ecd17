"""What is measured: a URL, the one address that it stands for, and where clients come from."""

from __future__ import annotations

import socket as sockets
from ipaddress import IPv4Address, ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from hocket.errors import UsageError

PER_SOURCE: Final = 10_000  # clients of one source address: it has 28,000 ports for all programs
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_OVER_TLS: Final = ("https", "wss")
_FIRST_SOURCE: Final = int(IPv4Address("127.0.0.1"))


class Target(msgspec.Struct, frozen=True):
    """Where clients go. `path` and `query` are those of the URL."""

    url: str
    host: str  # as it stands in the Host header
    address: str
    port: int
    path: str
    query: str
    tls: bool = False

    @property
    def name(self) -> str:
        """Of the machine, without a port."""
        return urlsplit(f"//{self.host}").hostname or self.address

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.address).is_loopback

    @property
    def family(self) -> sockets.AddressFamily:
        return sockets.AF_INET6 if ":" in self.address else sockets.AF_INET

    def sources(self, number: int, clients: int) -> list[str]:
        """Addresses for the clients of process `number`, none for which the kernel chooses."""
        if not self.is_loopback or self.family == sockets.AF_INET6:
            return []
        each = -(-clients // PER_SOURCE)
        first = _FIRST_SOURCE + number * each
        return [str(IPv4Address(first + index)) for index in range(each)]


def find(url: str, allow_remote: bool) -> Target:
    """The target of a URL. Raises UsageError for what cannot be one, and for an address of another
    machine unless `allow_remote`: load on a server of somebody else is an attack.
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _PORTS or not host or port == 0:
        raise UsageError(f"{url} is no URL such as http://127.0.0.1:8080")
    if "@" in parts.netloc:
        raise UsageError("a name and password in the URL are not sent: see --auth and --token")
    port = port or _PORTS[scheme]
    address = _resolve(host, port, allow_remote)
    tls = scheme in _OVER_TLS
    return Target(url, parts.netloc, address, port, parts.path or "/", parts.query, tls)


def _resolve(host: str, port: int, allow_remote: bool) -> str:
    try:
        found = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageError(f"there is no machine called {host}") from None
    addresses = [_dialled(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
    remote = [address for address in addresses if not ip_address(address).is_loopback]
    if remote and not allow_remote:
        raise UsageError(
            f"{host} is {remote[0]}, another machine: load on a server that is not yours is an "
            "attack; if it is yours, add --allow-remote"
        )
    return next((address for address in addresses if ":" not in address), addresses[0])


def _dialled(address: str) -> str:
    """Where a connection to an address goes: 0.0.0.0, which servers print, is this machine."""
    here = "::1" if ":" in address else "127.0.0.1"
    return here if ip_address(address).is_unspecified else address
