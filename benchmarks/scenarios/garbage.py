"""Handlers that leave reference cycles behind, for a long time."""

import time
from dataclasses import replace
from functools import partial

from benchmarks import building, plots
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from hocket.versus import machine
from hocket.versus.asking import get_json
from hocket.versus.processes import loading, started

SAMPLES = 120
MIB = 2**20

ROWS = {
    "events_per_s": Row("events per second, each leaving a cycle", "{:.0f}"),
    "after_tenth_mib": Row("anonymous memory after a tenth of the time, MiB", "{:.2f}"),
    "at_end_mib": Row("anonymous memory at the end, MiB", "{:.2f}"),
    "most_mib": Row("most anonymous memory, MiB", "{:.2f}"),
    "p99_us": Row("time until the answer, 99 %, us", "{:.0f}"),
    "max_us": Row("time until the answer, most, us", "{:.0f}"),
    **{
        f"generation_{n}_{key}": Row(f"collections of generation {n}: {title}", form)
        for n in (0, 1, 2)
        for key, title, form in (
            ("count", "how many", "{:.0f}"),
            ("max_ms", "longest, ms", "{:.2f}"),
            ("sum_ms", "together, ms", "{:.0f}"),
        )
    },
}


def samples(pid: int, seconds: float) -> list[tuple[float, float]]:
    """Seconds and MiB of anonymous memory, evenly over the time."""
    began = time.monotonic()
    found = []
    for number in range(1, SAMPLES + 1):
        time.sleep(max(0.0, began + seconds * number / SAMPLES - time.monotonic()))
        found.append((time.monotonic() - began, machine.memory(pid)[1] / MIB))
    return found


def measure(server: Server, command: Command, size: Size) -> Run:
    with (
        started(command, *server.flags) as running,
        loading(building.load("echo"), running.port, size.clients[0], server.speaks) as load,
    ):
        load.answer()
        get_json(running.port, "/collections")
        load.say(str(size.seconds))
        memory = samples(running.pid, size.seconds)
        run = load.answer()
        for generation, told in get_json(running.port, "/collections").items():
            run |= {f"{generation}_{key}": value for key, value in told.items()}
        load.finish()
    run["memory"] = memory
    run["after_tenth_mib"] = memory[len(memory) // 10][1]
    run["at_end_mib"] = memory[-1][1]
    run["most_mib"] = max(mib for _, mib in memory)
    return run


SCENARIO = Scenario(
    name="garbage",
    title="Handlers that leave reference cycles behind",
    columns={"hocket": replace(HOCKET, command=partial(building.hocket, "hocket_garbage.py"))},
    full=Size(clients=(100,), seconds=600, repeats=1),
    quick=Size(clients=(50,), seconds=5, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    draw=plots.memory_over_time,
)
