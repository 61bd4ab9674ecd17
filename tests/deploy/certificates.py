"""A certificate for this machine, signed by itself, for as long as the tests run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Files: the certificate, its key, and both in one."""

    public: Path
    key: Path
    both: Path


def make_certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "tls.crt", folder / "tls.key", folder / "tls.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-out", str(made.public), "-keyout", str(made.key)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    made.both.write_bytes(made.public.read_bytes() + made.key.read_bytes())
    return made
