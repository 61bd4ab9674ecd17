"""Pushes to devices, as fast as one core goes, into a sink that answers at once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.scenarios.start import free_port
from benchmarks.servers import Command, Server
from hocket.versus.processes import LOAD_CORE, SERVER_CORE, FailedError, process

DEVICE = "ab" * 32  # the path that nghttpd has a file for
TASKS = 100  # pushes on their way at a time
ROWS = {
    "per_s": Row("pushes per second and core", "{:.0f}", drawn=True),
    "cpu_us": Row("CPU per push, us", "{:.0f}"),
}


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise FailedError("the sink did not start")


def _certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-addext", "subjectAltName=DNS:localhost", "-out", "tls.crt", "-keyout", "tls.key"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


@contextmanager
def sink(kind: str, folder: Path) -> Iterator[str]:
    """A server that takes pushes, on the loads' core; its URL."""
    plain, tls = free_port(), free_port()
    if kind == "apns":
        device = folder / "3" / "device" / DEVICE
        device.parent.mkdir(parents=True)
        device.touch()
        command = ["nghttpd", "-d", str(folder), "--no-tls", "-a", "127.0.0.1", str(plain)]
    else:
        _certificate(folder)
        text = (building.PEERS / "nginx.conf").read_text()
        text = text.replace("{PORT}", str(plain)).replace("{TLS_PORT}", str(tls))
        (folder / "nginx.conf").write_text(text)
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(command, LOAD_CORE, stdin=subprocess.DEVNULL):
        _wait_for(plain)
        yield f"https://localhost:{tls}" if kind == "webpush" else f"http://localhost:{plain}"


def measure(kind: str, server: Server, command: Command, size: Size) -> Run:
    with tempfile.TemporaryDirectory() as name, sink(kind, Path(name)) as url:
        trust = [
            f"{variable}={name}/tls.crt" for variable in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
        ]
        told = [kind, url, str(size.rounds), str(TASKS)]
        with process(
            ["env", *trust, *command, *told], SERVER_CORE, stdout=subprocess.PIPE
        ) as sender:
            said = sender.communicate()[0]
    if sender.returncode:
        raise FailedError(f"the sender ended with status {sender.returncode}, see above")
    run: Run = json.loads(said)
    return run


def python(script: str) -> Command:
    return [sys.executable, str(building.PEERS / "python" / script)]


def nothing_missing(command: Sequence[str]) -> Command:
    """For a package that only `make bench` installs."""
    check = subprocess.run([command[0], "-c", "import pywebpush"], capture_output=True, check=False)
    if check.returncode:
        raise building.MissingError("needs pywebpush, of the group bench")
    return command


OURS = Server("Hocket", partial(python, "hocket_push.py"))
BARE = Server("bare loop", partial(python, "bare_push.py"))
PYWEBPUSH = Server("pywebpush", lambda: nothing_missing(python("pywebpush_push.py")))
WEB_PUSH = Server("web-push (Node)", partial(building.node, "webpush.mjs"))


def _scenario(
    kind: str, title: str, columns: dict[str, Server], program: str, says: str
) -> Scenario:
    return Scenario(
        name=kind,
        title=title,
        columns=columns,
        full=Size(rounds=20_000, repeats=5),
        quick=Size(rounds=500, repeats=1),
        rows=lambda size: ROWS,
        measure=partial(measure, kind),
        programs=(program, "openssl"),
        says=says,
    )


COMPARED = {"bare": BARE, "hocket": OURS}
SAYS = (
    "The bare loop sends such requests by the same library; it encodes, signs and checks nothing."
)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _scenario(
            "webpush",
            "Web Push to a push service over TLS",
            {"web-push": WEB_PUSH, "pywebpush": PYWEBPUSH, "hocket": OURS},
            "nginx",
            "Every push is encrypted for its own device; all senders keep their connections.",
        ),
        _scenario("apns", "Pushes to Apple's devices over HTTP/2", COMPARED, "nghttpd", SAYS),
        _scenario("fcm", "Pushes over FCM", COMPARED, "nginx", SAYS),
        _scenario("webhook", "Webhooks, each to an address of its own", COMPARED, "nginx", SAYS),
    )
}
