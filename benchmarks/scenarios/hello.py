"""A page over HTTP, as fast as it goes, asked for by wrk."""

import re
from subprocess import PIPE

from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus import machine
from hocket.versus.processes import LOAD_CORE, FailedError, process, started

WARM_UP = 0.5
BROWSER = {  # with what wrk sends itself: 450 bytes, as Chromium asks for a page
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}
HEADS = {"short": ("wrk's short head", {}), "browser": ("a browser's head", BROWSER)}
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def rows(size: Size) -> dict[str, Row]:
    measures = {
        "per_s": Row("requests per second", "{:.0f}", drawn=True),
        "p50_us": Row("time until the answer, half, us", "{:.0f}"),
        "p99_us": Row("time until the answer, 99 %, us", "{:.0f}"),
        "cpu_us": Row("CPU per request, us"),
    }
    return {
        f"{head}_{key}": Row(f"{told}: {row.title}", row.form, drawn=row.drawn)
        for head, (told, _) in HEADS.items()
        for key, row in measures.items()
    }


def wrk(port: int, clients: int, seconds: float, fields: dict[str, str]) -> Run:
    """Ask for `seconds`. Raises FailedError for an answer that is none."""
    headers = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency", *headers]
    with process([*command, f"http://127.0.0.1:{port}/"], LOAD_CORE, stdout=PIPE) as running:
        said = running.communicate()[0]
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    requests = re.search(r"(\d+) requests in", said)
    if not rate or not requests or "Non-2xx" in said or "Socket errors" in said:
        raise FailedError(f"wrk said: {said.strip()}")
    return {
        "per_s": float(rate[1]),
        "requests": int(requests[1]),
        "p50_us": _latency(said, 50),
        "p99_us": _latency(said, 99),
    }


def _latency(said: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE)
    if found is None:
        raise FailedError(f"wrk said: {said.strip()}")
    return float(found[1]) * UNITS[found[2]]


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each of the two heads."""
    run: Run = {}
    for head, (_, fields) in HEADS.items():
        with started(command, *server.flags) as running:
            wrk(running.port, size.clients[0], 1, fields)  # to warm up
            before = machine.cpu_ns(running.pid)
            result = wrk(running.port, size.clients[0], size.seconds, fields)
            spent = machine.cpu_ns(running.pid) - before
        result["cpu_us"] = spent / 1e3 / result["requests"]
        run |= {f"{head}_{key}": value for key, value in result.items()}
    return run


SCENARIO = Scenario(
    name="hello",
    title="A page over HTTP",
    columns=some("node", "go", "starlette", "hocket"),
    full=Size(clients=(64,), seconds=5, repeats=5),
    quick=Size(clients=(64,), seconds=1, repeats=1),
    rows=rows,
    measure=measure,
    other_python=True,
    programs=("wrk",),
)
