"""An asyncio timer inside a server that has all the work it can do."""

import time
from dataclasses import replace
from functools import partial

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from hocket.versus.asking import get_json
from hocket.versus.processes import loading, started

WHEN = {"idle": "idle", "loaded": "beside echoes"}


def rows(size: Size) -> dict[str, Row]:
    return {
        f"{when}_{key}": Row(f"{told}: timer of 10 ms late by, {name}, ms", "{:.2f}", drawn=True)
        for when, told in WHEN.items()
        for key, name in {"p50_ms": "half", "p99_ms": "99 %", "max_ms": "most"}.items()
    } | {"events_per_s": Row("events per second beside it", "{:.0f}")}


def measure(server: Server, command: Command, size: Size) -> Run:
    """The server measures itself: first idle, then beside echoes."""
    with (
        started(command, *server.flags) as running,
        loading(building.load("echo"), running.port, size.clients[0], server.speaks) as load,
    ):
        load.answer()
        get_json(running.port, "/lateness")
        time.sleep(size.seconds)
        idle = get_json(running.port, "/lateness")
        echoes = load.ask(str(size.seconds))
        loaded = get_json(running.port, "/lateness")
        load.finish()
    return {
        **{f"idle_{key}": value for key, value in idle.items()},
        **{f"loaded_{key}": value for key, value in loaded.items()},
        "events_per_s": echoes["events_per_s"],
    }


SCENARIO = Scenario(
    name="timer",
    title="A timer beside a saturating load",
    columns={"hocket": replace(HOCKET, command=partial(building.hocket, "hocket_timer.py"))},
    full=Size(clients=(100,), seconds=10, repeats=3),
    quick=Size(clients=(50,), seconds=1, repeats=1),
    rows=rows,
    measure=measure,
)
