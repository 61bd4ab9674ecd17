"""Who the client is, where a proxy stands in front: what trusted proxies say counts, what anybody
else says does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from hocket.errors import HTTPError
from hocket.hub.engine import Loop
from hocket.protocol.http1 import Request, response
from hocket.protocol.proxy import Hop, forwarded, introduction, plain_address, x_forwarded
from hocket.transport.linger import Linger
from hocket.transport.reactor import Endpoint, Reactor, write_small

KNOWN: Final = 4_096  # addresses whose verdict is remembered
_SECURE: Final = frozenset({"https", "wss"})


class Proxies:
    """The rule for one server.

    Args:
        trusted: the networks that trusted proxies are in.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = trusted
        self._known: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        verdict = self._known.get(address)
        if verdict is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            plain = plain_address(address)
            verdict = bool(plain) and any(ip_address(plain) in each for each in self._trusted)
            self._known[address] = verdict
        return verdict

    def client(self, peer: str, secure: bool, request: Request) -> tuple[str, bool]:
        """The address of the client behind `peer`, and whether it came over TLS.

        From hop to hop, beginning with the nearest, for as long as the one that speaks is trusted.
        X-Forwarded-For counts before Forwarded: proxies that write the latter pass the former on.
        """
        if not self.trusts(peer):
            return peer, secure
        for hop in reversed(_hops(request)):
            secure = hop.scheme in _SECURE if hop.scheme else secure
            if not hop.client:
                break
            peer = hop.client
            if not self.trusts(peer):
                break
        return peer, secure


def _hops(request: Request) -> list[Hop]:
    scheme = request.get(b"x-forwarded-proto").decode("latin-1")
    if request.has(b"x-forwarded-for"):
        return x_forwarded(request.get(b"x-forwarded-for").decode("latin-1"), scheme)
    if request.has(b"forwarded"):
        return forwarded(request.get(b"forwarded").decode("latin-1"))
    return [Hop("", scheme.strip().lower())] if scheme else []


class Introducing:
    """A connection from a trusted proxy that has not said yet whom it brings."""

    __slots__ = ("address", "buffer", "fd", "transport")

    def __init__(self, transport: ProxyProtocol, fd: int, address: str) -> None:
        self.transport = transport
        self.fd = fd
        self.address = address
        self.buffer = b""


class ProxyProtocol:
    """The transport of such connections: reads the PROXY header, then hands over.

    Args:
        loop, reactor, linger: the worker's.
        proxies: who must begin with that header; nobody else may.
        timeout: seconds in which it must have come.
        accepted: takes a connection without such a header: fd, address.
        adopt: takes over an endpoint: its client, whether that came over TLS, what followed.
    """

    def __init__(
        self,
        loop: Loop,
        reactor: Reactor,
        linger: Linger,
        proxies: Proxies,
        timeout: float,
        accepted: Callable[[int, str], None],
        adopt: Callable[[Endpoint, str, bool, bytes], None],
    ) -> None:
        self._loop = loop
        self._reactor = reactor
        self._linger = linger
        self._proxies = proxies
        self._timeout = timeout
        self._accepted = accepted
        self._adopt = adopt

    @property
    def waits(self) -> bool:
        """Whether somebody has not said yet whom it brings."""
        return any(isinstance(end, Introducing) for end in self._reactor.endpoints())

    def accepted(self, fd: int, address: str) -> None:
        if not self._proxies.trusts(address):
            self._accepted(fd, address)
            return
        end = Introducing(self, fd, address)
        self._reactor.add(end, new=True)
        self._loop.call_later(self._timeout, lambda: self._reactor.close(end))

    def received(self, end: Introducing, data: bytes) -> None:
        end.buffer += data
        try:
            said = introduction(end.buffer)
        except HTTPError as error:
            write_small(end.fd, response(error.status, (), f"{error}\n".encode(), close=True))
            self._linger.part(end)
            return
        if said is not None:
            self._adopt(end, said.client or end.address, said.secure, end.buffer[said.size :])

    def ended(self, end: Introducing) -> None:
        self._reactor.close(end)

    failed = ended

    def writable(self, end: Introducing) -> None:
        """Never asked for."""
