"""Which web pages may talk to this server: the Origin header and CORS (Fetch standard, sections 3.1
and 3.2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from hocket.protocol.http1 import Request

ORIGIN: Final = "origin not allowed: see the setting `origins`"
HOST: Final = (
    "clients come by 127.0.0.1 or localhost: for another name this server needs keys for tokens, "
    "such as HOCKET_SECRET"
)
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_METHODS: Final = b"GET, POST, OPTIONS"
_AGE: Final = (b"access-control-max-age", b"600")


class Origins:
    """The rule for one server.

    Args:
        allowed: None: a page may only talk to the host it came from; a list of origins such as
            `https://example.com`; or "*".
        here_only: clients come by a name of this machine's own.
    """

    def __init__(self, allowed: Collection[str] | str | None, here_only: bool = False) -> None:
        self.names_others = allowed is not None
        self._here_only = here_only
        self._any = allowed == "*"
        self._allowed = (
            frozenset()
            if allowed is None or isinstance(allowed, str)
            else frozenset(origin.rstrip("/").lower() for origin in allowed)
        )

    def why_not(self, request: Request) -> str:
        """Why a request may not come in; empty: it may. Any page could make its own name lead to
        this machine (DNS rebinding), and its Origin would be as its Host is.
        """
        if self._here_only and not _is_here(request.host):
            return HOST
        return "" if self.admits(request) else ORIGIN

    def admits(self, request: Request) -> bool:
        """Whether the page that sent this request may. What is no browser sends no
        Origin, and may.
        """
        if self._any or not request.has(b"origin"):
            return True
        origin = request.get(b"origin").decode("latin-1").lower()
        return not origin or self._is_ours(origin, request.host.decode("latin-1").lower())

    def trusts(self, headers: Mapping[str, str]) -> bool:
        """Whether the page that sent these request headers may use its user's cookies: one of
        ours or of a listed origin. "*" lists nobody. Without an Origin the browser says otherwise
        whether it was a foreign page (Fetch Metadata, section 2.2).
        """
        origin = headers.get("origin", "").lower()
        if not origin:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return self._is_ours(origin, headers.get("host", "").lower())

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._allowed or _same(origin, host)

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """CORS headers for the answer to a request from another origin that is admitted."""
        if not self.admits(request):
            return []
        return self.cors(request.get(b"origin"))

    def cors_for(self, origin: str, host: str) -> list[tuple[bytes, bytes]]:
        """As `headers`, for an Origin and a Host."""
        is_admitted = self._any or self._is_ours(origin.lower(), host.lower())
        return self.cors(origin.encode("latin-1")) if is_admitted else []

    def cors(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if not origin:
            return []
        fields = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if not self._any:  # with "*" anybody may ask, so nobody's cookies count
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields

    def preflight(self, request: Request, methods: bytes = _METHODS) -> list[tuple[bytes, bytes]]:
        """The answer to a page that asks first: an admitted one may send what fields it likes."""
        if not (fields := self.headers(request)):
            return []
        wanted = request.get(b"access-control-request-headers") or b"content-type, authorization"
        may = (b"access-control-allow-methods", methods)
        return [*fields, may, (b"access-control-allow-headers", wanted), _AGE]


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is this machine's and leads to it from nowhere else."""
    if f".{host}".removesuffix(".").endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _is_here(host: bytes) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host.decode('latin-1')}").hostname or "")
    except ValueError:
        return False


def _same(origin: str, host: str) -> bool:
    """Host and port are equal. The scheme is not compared: a proxy in front may speak TLS
    for us.
    """
    try:
        page = urlsplit(origin)
        server = urlsplit(f"{page.scheme}://{host}")
        default = _PORTS.get(page.scheme)
        return (
            bool(page.hostname)
            and page.hostname == server.hostname
            and (page.port or default) == (server.port or default)
        )
    except ValueError:
        return False
