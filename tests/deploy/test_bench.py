"""`hocket bench` against https:// and wss://, through each proxy that ends TLS."""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.certificates import Certificate
from tests.deploy.fronts import Front, in_front
from tests.integration.programs import ROOT, environment

for needed in ("hdrh", "rich"):
    pytest.importorskip(needed, reason="the extra `bench` is not installed")

BENCHED = (sys.executable, str(ROOT / "examples/bench_app.py"))
FEW = ("--connections=40", "--processes=2", "--rounds=2", "--seconds=0.5")


@pytest.fixture(scope="module")
def benched(
    name: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp(name)
    with in_front(name, BENCHED, certificate, folder, port=0) as front:
        yield front


def run(url: str, *words: str, trusts: Path | None = None) -> subprocess.CompletedProcess[str]:
    known = {} if trusts is None else {"SSL_CERT_FILE": str(trusts)}
    return subprocess.run(
        [sys.executable, "-m", "hocket", "bench", url, *FEW, *words],
        env=environment(known),
        capture_output=True,
        text=True,
        timeout=60,
    )


def measured(tmp_path: Path, front: Front, *words: str) -> Any:
    file = tmp_path / "result.json"
    done = run(front.url, "--json", str(file), *words, trusts=front.certificate.public)
    assert done.returncode == 0, done
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    "words",
    [
        ("--scenario=broadcast", "--transport=upgrade"),
        ("--scenario=echo", "--size=60000"),  # more than a record of TLS, and than a buffer holds
        ("--scenario=churn", "--rate=40"),
    ],
    ids=" ".join,
)
def test_scenarios(tmp_path: Path, benched: Front, words: tuple[str, ...]) -> None:
    found = measured(tmp_path, benched, *words)
    assert found["problems"] == []
    assert found["lost"] == {}
    assert found["connect"]["ready"] == 40


def test_a_certificate_that_nobody_has_signed(benched: Front) -> None:
    done = run(benched.url)
    assert done.returncode == 2
    assert "its certificate is not trusted" in done.stderr
    assert "--insecure" in done.stderr
    assert run(benched.url, "--insecure").returncode == 0


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.2", "its certificate is not trusted (IP address mismatch"),
        ("127.0.0.1", "closed by the server"),
    ],
)
def test_a_server_that_is_not_what_it_should_be(
    certificate: Certificate, address: str, why: str
) -> None:
    """It has the certificate of 127.0.0.1, and says nothing but that."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.both)

    def serve(listener: sockets.socket) -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            context.wrap_socket(client, server_side=True).close()

    with sockets.create_server((address, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"https://{address}:{listener.getsockname()[1]}"
        done = run(url, trusts=certificate.public)
        thread.join()
    assert done.returncode == 2
    assert why in done.stderr


def test_where_no_tls_is_spoken(benched: Front) -> None:
    done = run(benched.insecure_url.replace("http:", "wss:"), "--raw", "--scenario=storm")
    assert done.returncode == 2
    assert "no TLS with it" in done.stderr
