"""How long after its start a server answers its first request."""

import socket
import subprocess
import time
from dataclasses import replace

from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus.processes import SERVER_CORE, START_TIMEOUT, FailedError, process

PAGE = "/"
SOCKETIO = "/socket.io/?EIO=4&transport=polling"
PATHS = {"socketio": SOCKETIO}  # what a server is asked for first, by what it speaks
BETWEEN_TRIES = 0.0002

ROWS = {
    "accepted_ms": Row("from exec until a connection is accepted, ms", drawn=True),
    "answered_ms": Row("from exec until a request is answered, ms", drawn=True),
}


def free_port() -> int:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def connect(port: int, server: subprocess.Popen[str]) -> socket.socket:
    """Try until somebody listens."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(BETWEEN_TRIES)
    raise FailedError("the server did not start")


def measure(server: Server, command: Command, size: Size) -> Run:
    """One start. Popen comes back when the child has become the server: from there it counts."""
    port, path = free_port(), PATHS.get(server.speaks, PAGE)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with process([*command, str(port), *server.flags], SERVER_CORE, **quiet) as running:
        began = time.perf_counter()
        with connect(port, running) as client:
            accepted = time.perf_counter()
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            said = client.recv(4096)
            answered = time.perf_counter()
    if not said.startswith(b"HTTP/1.1 200"):
        raise FailedError(f"the server answered {said[:40]!r}")
    return {"accepted_ms": (accepted - began) * 1e3, "answered_ms": (answered - began) * 1e3}


COLUMNS = some("node", "socket.io", "go", "socketioxide", "python-socketio", "hocket")

SCENARIO = Scenario(
    name="start",
    title="The first answer after a start",
    columns=COLUMNS | {"hocket-page": replace(COLUMNS["hocket"], name="Hocket, a page", speaks="")},
    full=Size(repeats=20),
    quick=Size(repeats=3),
    rows=lambda size: ROWS,
    measure=measure,
    other_python=True,
    says="Servers that speak Socket.IO are asked to open a session, the others for a page.",
)
