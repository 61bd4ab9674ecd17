"""Whose word counts for who the client is."""

from __future__ import annotations

from typing import Any

import pytest

from hocket import App, Handshake
from hocket.errors import UsageError
from hocket.settings import load
from tests.support import Wire, asynchronous, head, serving

FORGED = "X-Forwarded-For: 198.51.100.9"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"


def telling() -> App:
    app = App()

    @app.get("/who")
    def who(request: Any) -> list[Any]:
        return [request.client.host, request.url.scheme]

    return app


async def who(site: Any, *fields: str, before: bytes = b"") -> Any:
    async with await Wire.to(site) as wire:
        await wire.send(before + head(site.host, "/who", "GET", *fields))
        answer = await wire.answer()
        return answer.json if answer.status == 200 else answer.status


@asynchronous
async def test_nobody_is_trusted_unless_told_so() -> None:
    async with serving(telling()) as site:
        fields = (FORGED, "X-Forwarded-Proto: https", "Forwarded: for=198.51.100.9;proto=https")
        assert await who(site, *fields) == ["127.0.0.1", "http"]
        assert await who(site, before=V1) == 501  # PROXY is no method


@asynchronous
async def test_the_port_is_told_of_a_client_that_is_the_peer() -> None:
    app = App()
    app.get("/port")(lambda request: str(request.client.port))
    async with serving(app, trusted_proxies="127.0.0.1") as site, await Wire.to(site) as wire:
        answer = await wire.request("GET", "/port")
        assert answer.body.decode() == str(wire.port)
        assert (await wire.request("GET", "/port", FORGED)).body == b"0"
    how: dict[str, Any] = {"trusted_proxies": "127.0.0.1", "proxy_protocol": True}
    async with serving(app, **how) as site, await Wire.to(site) as wire:
        await wire.send(V1 + head(site.host, "/port"))
        assert (await wire.answer()).body == b"0"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((FORGED,), ["198.51.100.9", "http"]),
        ((FORGED, "X-Forwarded-Proto: https"), ["198.51.100.9", "https"]),
        (("X-Forwarded-Proto: https",), ["127.0.0.1", "https"]),
        (("X-Forwarded-For: 6.6.6.6, 198.51.100.9, 10.1.2.3",), ["198.51.100.9", "http"]),
        (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 198.51.100.9"), ["198.51.100.9", "http"]),
        (("X-Forwarded-For: " + "," * 8_000 + "198.51.100.9",), ["198.51.100.9", "http"]),
        (("X-Forwarded-For: 6.6.6.6" + ",10.0.0.1" * 40,), ["10.0.0.1", "http"]),
        (("X-Forwarded-For: unknown",), ["127.0.0.1", "http"]),
        (("X-Forwarded-For: 10.0.0.1, 10.0.0.2",), ["10.0.0.1", "http"]),
        (('Forwarded: for="[2001:db8::1]";proto=https',), ["2001:db8::1", "https"]),
        ((FORGED, "Forwarded: for=6.6.6.6"), ["198.51.100.9", "http"]),
        ((), ["127.0.0.1", "http"]),
    ],
)
@asynchronous
async def test_what_a_trusted_proxy_says(fields: tuple[str, ...], told: list[str]) -> None:
    """From the nearest hop on, for as long as it is a trusted one that speaks."""
    async with serving(telling(), trusted_proxies="127.0.0.1, 10.0.0.0/8") as site:
        assert await who(site, *fields) == told


@asynchronous
async def test_each_request_of_a_connection_has_its_own_client() -> None:
    app = telling()
    seen: list[str] = []

    @app.on_handshake
    def handshake(handshake: Handshake) -> None:
        seen.append(f"{handshake.address} {handshake.secure}")

    async with serving(app, trusted_proxies=["127.0.0.1"]) as site, await Wire.to(site) as wire:
        for number in (1, 2):
            fields = (f"X-Forwarded-For: 198.51.100.{number}", "X-Forwarded-Proto: https")
            target = "/socket.io/?EIO=4&transport=polling"
            await wire.send(head(site.host, target, "GET", *fields))
            assert (await wire.answer()).status == 200
        await wire.send(head(site.host, "/who"))
        assert (await wire.answer()).json == ["127.0.0.1", "http"]
    assert seen == ["198.51.100.1 True", "198.51.100.2 True"]


@asynchronous
async def test_the_proxy_protocol() -> None:
    async with serving(telling(), trusted_proxies="127.0.0.1", proxy_protocol=True) as site:
        assert await who(site, before=V1) == ["203.0.113.7", "http"]
        assert await who(site, FORGED, before=V1) == ["203.0.113.7", "http"]
        assert await who(site, before=b"PROXY UNKNOWN\r\n") == ["127.0.0.1", "http"]
        assert await who(site) == 400  # a trusted proxy that does not say whom it brings


@asynchronous
async def test_a_proxy_header_in_pieces() -> None:
    async with serving(telling(), trusted_proxies="127.0.0.1", proxy_protocol=True) as site:
        whole = V1 + head(site.host, "/who")
        async with await Wire.to(site) as wire:
            for byte in whole:
                await wire.send(bytes([byte]))
            assert (await wire.answer()).json == ["203.0.113.7", "http"]


@asynchronous
async def test_who_never_introduces_itself_is_closed() -> None:
    async with (
        serving(
            telling(), trusted_proxies="127.0.0.1", proxy_protocol=True, request_timeout=0.05
        ) as site,
        await Wire.to(site) as wire,
    ):
        await wire.send(b"PROXY ")
        assert await wire.is_closed()


def test_the_proxy_protocol_from_anybody_is_refused() -> None:
    with pytest.raises(UsageError, match="trusted_proxies"):
        load({"proxy_protocol": True}, environ={}, file=None)


@pytest.mark.parametrize("wrong", ["everyone", "10.0.0.0/99", "1.2.3"])
def test_a_network_that_is_none(wrong: str) -> None:
    with pytest.raises(UsageError, match="trusted_proxies"):
        load({"trusted_proxies": wrong}, environ={}, file=None)
