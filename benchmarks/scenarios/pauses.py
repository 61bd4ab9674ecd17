"""How long the collector of cycles stops a server with 50,000 clients."""

import time
from dataclasses import replace
from functools import partial

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from benchmarks.several import SEVERAL, flags_for, processes_for
from hocket.versus.asking import get_json, get_metrics
from hocket.versus.processes import FailedError, loading, started

ECHO_CLIENTS = 300
CYCLES = 20  # that an event leaves behind: a minute is then worth twenty
QUIET = 5.0  # seconds at the end: that is when Hocket collects everything
PATIENCE = 20.0  # seconds in which all workers are met: who is ahead leaves clients to the others
COUNT, SUM, WALL = (
    f"hocket_gc_{name}"
    for name in ("collections_total", "pause_seconds_total", "longest_pause_seconds")
)

ROWS = {
    "longest_ms": Row("longest collection of any worker, CPU, ms", "{:.2f}", drawn=True),
    "longest_2_ms": Row("longest full collection of any worker, CPU, ms", "{:.2f}"),
    "wall_ms": Row("longest collection, with what it waited for the core, ms", "{:.2f}"),
    "collections": Row("collections", "{:.0f}"),
    "mean_ms": Row("mean collection, with what it waited for the core, ms", "{:.2f}"),
    "cycles": Row("cycles left behind", "{:.0f}"),
    "p99_ms": Row("time until the answer, 99 %, ms"),
}


def longest_of_workers(port: int, workers: int) -> list[float]:
    """By generation, the most CPU in ms that a collection of any worker took."""
    told: dict[int, list[float]] = {}
    deadline = time.monotonic() + PATIENCE
    while len(told) < workers:
        if time.monotonic() > deadline:
            raise FailedError(f"{len(told)} of {workers} workers answered")
        answer = get_json(port, "/longest")
        told[answer["pid"]] = answer["cpu_ms"]
    return [max(each) for each in zip(*told.values(), strict=True)]


def measure(server: Server, command: Command, size: Size) -> Run:
    clients = size.clients[0]
    flags = (*flags_for(server, clients), "--cycles", str(CYCLES))
    with (
        started(command, *flags) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as crowd,
        loading(building.load("echo"), running.port, ECHO_CLIENTS, server.speaks) as load,
    ):
        crowd.answer()
        load.answer()
        echoes = load.ask(str(size.seconds))
        time.sleep(QUIET)
        longest = longest_of_workers(running.port, processes_for(clients))
        told = get_metrics(running.port)
        load.finish()
        crowd.finish()
    return {
        "longest_ms": max(longest),
        "longest_2_ms": longest[2],
        "wall_ms": told[WALL] * 1e3,
        "collections": told[COUNT],
        "mean_ms": told[SUM] * 1e3 / max(1, told[COUNT]),
        "cycles": echoes["events"] * CYCLES,
        "p99_ms": echoes["p99_us"] / 1e3,
    }


SCENARIO = Scenario(
    name="pauses",
    title="Pauses by the collector at 50,000 clients",
    columns={"hocket": replace(HOCKET, command=partial(building.hocket, "hocket_garbage.py"))},
    full=Size(clients=(50_000,), seconds=30, repeats=5),
    quick=Size(clients=(200,), seconds=2, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says=f"{SEVERAL}\n\n50,000 rest while {ECHO_CLIENTS} more send events as fast as they go, each "
    f"of which leaves {CYCLES} cycles behind; then five quiet seconds. Of all workers the longest "
    "counts; what other processes did on its core meanwhile is told apart.",
)
