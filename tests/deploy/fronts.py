"""The proxies, each with its file from deploy/ and as few changes to it as a test needs: ports,
certificate, folders. A change that finds nothing to change is a failure.
"""

from __future__ import annotations

import shutil
import socket as sockets
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.certificates import Certificate
from tests.deploy.ports import reserved
from tests.integration.programs import ROOT, WITHIN, Program, program

DEPLOY = ROOT / "deploy"
NAMES = ("nginx", "haproxy", "caddy")
# The two apps behind them.
CLIENTS = (sys.executable, str(ROOT / "tests/integration/served_app.py"))
PROXIED = (sys.executable, str(ROOT / "tests/deploy/proxied_app.py"))
UPSTREAM = "127.0.0.1:8080"  # in every file of deploy/


@dataclass(frozen=True)
class Front:
    """A proxy in front of Hocket."""

    name: str
    url: str
    insecure_url: str
    certificate: Certificate
    program: Program

    @property
    def context(self) -> ssl.SSLContext:
        """That trusts its certificate."""
        return ssl.create_default_context(cafile=str(self.certificate.public))


def changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old!r} is no longer in the file"
        text = text.replace(old, new)
    return text


@contextmanager
def running(
    name: str,
    upstream: str,
    certificate: Certificate,
    folder: Path,
    changes: Mapping[str, str] | None = None,
) -> Iterator[Front]:
    """Run a proxy in front of `upstream`, such as 127.0.0.1:8080; `changes` come first."""
    files = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}
    with reserved(2) as (insecure, secure):
        source, more, arguments = files[name](insecure, secure, certificate, folder)
        text = changed((DEPLOY / source).read_text(), changes or {})
        config = folder / Path(source).name
        config.write_text(changed(text, {**more, UPSTREAM: upstream}))
        command = [word.replace("CONFIG", str(config)) for word in arguments]
        homes = ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
        with program(*command, cwd=folder, env={each: str(folder) for each in homes}) as running:
            for port in (insecure, secure):
                _wait_for(running, port)
            yield Front(
                name,
                f"https://127.0.0.1:{secure}",
                f"http://127.0.0.1:{insecure}",
                certificate,
                running,
            )


@contextmanager
def in_front(
    name: str,
    server: Sequence[str],
    certificate: Certificate,
    folder: Path,
    changes: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[Front]:
    """Run a server that trusts its proxy, and that proxy."""
    given = {f"HOCKET_{key.upper()}": str(value) for key, value in settings.items()}
    always = {"HOCKET_PORT": "0", "HOCKET_TRUSTED_PROXIES": "127.0.0.1"}
    with program(*server, env={**always, **given}) as app:
        upstream = app.url().removeprefix("http://")
        with running(name, upstream, certificate, folder, changes) as front:
            yield front


def missing(name: str) -> str:
    """Why this proxy cannot be tested here; empty when it can."""
    for needed in (name, "openssl"):
        if shutil.which(needed) is None:
            return f"there is no {needed} (Debian: apt install {needed})"
    return ""


def _wait_for(running: Program, port: int) -> None:
    deadline = time.monotonic() + WITHIN
    while True:
        assert running.process.poll() is None, running.errors()
        with sockets.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"it does not listen on port {port}"
        time.sleep(0.01)


def _nginx(
    insecure: int, secure: int, certificate: Certificate, folder: Path
) -> tuple[str, dict[str, str], list[str]]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder};\n" for kind in kinds)
    changes = {
        "listen 80;": f"listen 127.0.0.1:{insecure};",
        "listen 443 ": f"listen 127.0.0.1:{secure} ",
        "http {\n": f"http {{\n{places}",
        "/etc/ssl/chat.example.com.crt": str(certificate.public),
        "/etc/ssl/private/chat.example.com.key": str(certificate.key),
        "worker_processes auto;": "worker_processes 2;",
        "worker_rlimit_nofile 140000;": "",
        "worker_connections 65536;": "worker_connections 1024;",
    }
    once = f"daemon off; pid {folder}/nginx.pid; user root; error_log stderr;"
    return (
        "nginx/hocket.conf",
        changes,
        ["nginx", "-p", str(folder), "-e", "stderr", "-c", "CONFIG", "-g", once],
    )


def _haproxy(
    insecure: int, secure: int, certificate: Certificate, folder: Path
) -> tuple[str, dict[str, str], list[str]]:
    changes = {
        "bind :80\n": f"bind 127.0.0.1:{insecure}\n",
        "bind :443 ": f"bind 127.0.0.1:{secure} ",
        "/etc/haproxy/chat.example.com.pem": str(certificate.both),
        "    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n": "",
        "maxconn 60000": "maxconn 1000",
    }
    return "haproxy/haproxy.cfg", changes, ["haproxy", "-W", "-db", "-f", "CONFIG"]


def _caddy(
    insecure: int, secure: int, certificate: Certificate, folder: Path
) -> tuple[str, dict[str, str], list[str]]:
    ports = f"http_port {insecure}\n\thttps_port {secure}\n\tdefault_bind 127.0.0.1"
    files = f"tls {certificate.public} {certificate.key}"
    changes = {
        "\tadmin off": f"\t{ports}\n\tadmin off",
        "chat.example.com {\n": f"127.0.0.1, localhost {{\n\t{files}\n",
    }
    return (
        "caddy/Caddyfile",
        changes,
        ["caddy", "run", "--adapter", "caddyfile", "--config", "CONFIG"],
    )
