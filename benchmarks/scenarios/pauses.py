"""How long the collector of cycles stops a server with 50,000 clients."""

import time
from dataclasses import replace
from functools import partial

from benchmarks import building
from benchmarks.asking import get_metrics
from benchmarks.processes import loading, started
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from benchmarks.several import SEVERAL, flags_for

ECHO_CLIENTS = 300
QUIET = 5.0  # seconds at the end: that is when Hocket collects everything
LONGEST = "hocket_gc_longest_pause_seconds"
COUNT = "hocket_gc_collections_total"
SUM = "hocket_gc_pause_seconds_total"

ROWS = {
    "longest_ms": Row("longest pause of any worker, ms", "{:.2f}", drawn=True),
    "collections": Row("collections", "{:.0f}"),
    "mean_ms": Row("mean pause, ms", "{:.2f}"),
    "events": Row("events, each leaving a cycle", "{:.0f}"),
    "p99_ms": Row("time until the answer, 99 %, ms"),
}


def measure(server: Server, command: Command, size: Size) -> Run:
    clients = size.clients[0]
    with (
        started(command, *flags_for(server, clients + ECHO_CLIENTS)) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as crowd,
        loading(building.load("echo"), running.port, ECHO_CLIENTS, server.speaks) as load,
    ):
        crowd.answer()
        load.answer()
        echoes = load.ask(str(size.seconds))
        time.sleep(QUIET)
        told = get_metrics(running.port)
        load.finish()
        crowd.finish()
    return {
        "longest_ms": told[LONGEST] * 1e3,
        "collections": told[COUNT],
        "mean_ms": told[SUM] * 1e3 / max(1, told[COUNT]),
        "events": echoes["events"],
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
    "of which leaves a cycle behind; then five quiet seconds. Of all workers the longest counts.",
)
