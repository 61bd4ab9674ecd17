"""A proxy in front of a served app, for every test of this folder that asks for `url`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.deploy.certificates import Certificate, make_certificate
from tests.deploy.fronts import CLIENTS, NAMES, Front, in_front, missing


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Which proxy."""
    chosen: str = request.param
    if why := missing(chosen):
        pytest.skip(why)
    return chosen


@pytest.fixture(scope="module")
def trusting_node(certificate: Certificate) -> Iterator[None]:
    """Node.js programs trust the certificate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "NODE_EXTRA_CA_CERTS", str(certificate.public))
        yield


@pytest.fixture(scope="module")
def front(
    name: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """A proxy in front of the app that the clients' tests talk to."""
    with in_front(name, CLIENTS, certificate, tmp_path_factory.mktemp(name)) as front:
        yield front


@pytest.fixture(scope="module")
def url(front: Front, trusting_node: None) -> str:
    return front.url
