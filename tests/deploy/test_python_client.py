"""python-socketio's client, through each proxy, on each transport: the same test as without one."""

from __future__ import annotations

import pytest

from tests.deploy.fronts import Front
from tests.integration.test_clients_python import TRANSPORTS, converse


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_the_whole_conversation(front: Front, transports: str) -> None:
    converse(front.url, transports, {"SSL_CERT_FILE": str(front.certificate.public)})
