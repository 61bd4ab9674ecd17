"""Who the client is, as the app sees it through each proxy, and whom it does not believe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.certificates import Certificate
from tests.deploy.fronts import PROXIED, in_front, missing
from tests.deploy.secure import CLIENT, Poller, SecureWebSocket, SecureWire, arguments
from tests.support import asynchronous

FORGED = [
    (),
    ("X-Forwarded-For: 6.6.6.6",),
    ("X-Forwarded-For: 6.6.6.6, 127.0.0.1",),
    ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"),
    ("Forwarded: for=6.6.6.6;proto=http",),
    ("Forwarded: for=6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: http"),
    ("X-Forwarded-Proto: http",),
    ("X-Real-IP: 6.6.6.6", "Connection: keep-alive, X-Forwarded-For, X-Forwarded-Proto"),
    ("X_Forwarded_For: 6.6.6.6",),
]
# HAProxy's other server line, in its file as a comment; version 1 cannot say that TLS was used.
INTRODUCED = {
    "    server worker 127.0.0.1:8080\n": "",
    "# server worker": "server worker",
}


@pytest.fixture(scope="module", params=["nginx", "haproxy", "caddy", "haproxy with PROXY protocol"])
def where(
    request: pytest.FixtureRequest,
    certificate: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    name, _, introduced = request.param.partition(" with ")
    if why := missing(name):
        pytest.skip(why)
    folder = tmp_path_factory.mktemp(name)
    changes = INTRODUCED if introduced else {}
    settings = {"proxy_protocol": "yes"} if introduced else {}
    with in_front(name, PROXIED, certificate, folder, changes, **settings) as front:
        yield front.url


@asynchronous
async def test_over_polling(where: str) -> None:
    for forged in FORGED:
        async with await SecureWire.to(where) as wire:
            poller = await Poller.joined(wire, "ada", *forged)
            assert await poller.event() == ["seen", CLIENT, True], forged


@asynchronous
async def test_over_websocket(where: str) -> None:
    for forged in FORGED:
        if not any("Connection:" in field for field in forged):  # an upgrade has its own
            async with await SecureWebSocket.joined(where, *forged) as client:
                assert arguments(await client.text()) == ["seen", CLIENT, True], forged


@asynchronous
async def test_on_a_route(where: str) -> None:
    for forged in FORGED:
        async with await SecureWire.to(where) as wire:
            assert (await wire.request("GET", "/who", *forged)).json == [CLIENT, "https"], forged


@asynchronous
async def test_clients_that_share_connections_to_hocket_keep_their_addresses(where: str) -> None:
    class Other(SecureWire):
        source = "127.0.0.10"

    async with await SecureWire.to(where) as one, await Other.to(where) as other:
        for _ in range(5):
            assert (await one.request("GET", "/who")).json == [SecureWire.source, "https"]
            assert (await other.request("GET", "/who")).json == [Other.source, "https"]


@pytest.mark.skipif(bool(missing("haproxy")), reason=missing("haproxy"))
@asynchronous
async def test_version_1_of_the_proxy_protocol(certificate: Certificate, tmp_path: Path) -> None:
    """It does not say that the client came over TLS."""
    changes = {**INTRODUCED, "send-proxy-v2-ssl": "send-proxy"}
    with in_front(
        "haproxy", PROXIED, certificate, tmp_path, changes, proxy_protocol="yes"
    ) as front:
        async with await SecureWire.to(front.url) as wire:
            answer = await wire.request("GET", "/who", "X-Forwarded-For: 6.6.6.6")
            assert answer.json == [CLIENT, "http"]
