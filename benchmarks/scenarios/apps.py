"""A broadcast beside a mounted FastAPI under full load, in a process of its own and inside."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from hocket.versus import machine
from hocket.versus.asking import get
from hocket.versus.processes import LOAD_CORE, Load, Running, loading, started
from hocket.versus.watching import broadcast_round

REQUESTS_AT_A_TIME = 8
WHEN = {"without": "at rest", "beside": "under full load"}
HERE = replace(HOCKET, command=partial(building.hocket_with_fastapi, "hocket_apps.py"))


def rows(size: Size) -> dict[str, Row]:
    measures = {
        "last_ms": Row("time to the last client, ms", "{:.0f}", drawn=True),
        "cpu_us_per_message": Row("CPU per delivered message, us", "{:.2f}", drawn=True),
    }
    return {
        f"{when}_{key}": Row(f"FastAPI {told}: {row.title}", row.form, drawn=row.drawn)
        for key, row in measures.items()
        for when, told in WHEN.items()
    } | {
        "last_ratio": Row("time to the last client, under load by at rest", "{:.2f}"),
        "cpu_ratio": Row("CPU per delivered message, under load by at rest", "{:.2f}"),
        "requests": Row("requests answered meanwhile", "{:.0f}"),
    }


def serving_cpu(running: Running, other: int) -> Callable[[int], int]:
    """CPU of all but the process that runs FastAPI; where that is the worker, of its main thread,
    which serves.
    """
    if other == running.pid:
        return machine.main_thread_ns
    return lambda pid: machine.cpu_ns(pid) - machine.cpu_ns(other)


@contextmanager
def working(port: int) -> Iterator[list[int]]:
    """Requests, the next when the one before is answered; in the list, a number for each."""
    stop, answered = threading.Event(), []

    def ask() -> None:
        os.sched_setaffinity(0, {LOAD_CORE})  # of this thread
        while not stop.is_set():
            answered.append(len(get(port, "/api/work")))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(REQUESTS_AT_A_TIME)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def rounds(load: Load, running: Running, size: Size, other: int) -> Run:
    clients, cpu_ns = size.clients[0], serving_cpu(running, other)
    found = [broadcast_round(load, running, clients, cpu_ns) for _ in range(size.rounds)]
    return {key: median(one[key] for one in found) for key in ("last_ms", "cpu_us_per_message")}


def measure(server: Server, command: Command, size: Size) -> Run:
    """The same server and clients: first with the FastAPI at rest, then with it under load."""
    with (
        started(command, *server.flags) as running,
        loading(building.load("broadcast"), running.port, size.clients[0], server.speaks) as load,
    ):
        load.answer()
        other = int(get(running.port, "/api/pid"))
        without = rounds(load, running, size, other)
        with working(running.port) as answered:
            beside = rounds(load, running, size, other)
        load.finish()
    return {
        **{f"without_{key}": value for key, value in without.items()},
        **{f"beside_{key}": value for key, value in beside.items()},
        "last_ratio": beside["last_ms"] / without["last_ms"],
        "cpu_ratio": beside["cpu_us_per_message"] / without["cpu_us_per_message"],
        "requests": len(answered),
    }


SCENARIO = Scenario(
    name="apps",
    title="One message to all beside a busy FastAPI",
    columns={
        "hocket-inside": replace(HERE, name="Hocket, FastAPI in the worker"),
        "hocket": replace(
            HERE,
            name="Hocket, --app-processes 1",
            flags=("--app-processes", "1", "--core", str(LOAD_CORE)),
        ),
    },
    full=Size(clients=(15_000,), rounds=10, repeats=5),
    quick=Size(clients=(200,), rounds=2, repeats=1),
    rows=rows,
    measure=measure,
    says=f"{REQUESTS_AT_A_TIME} requests are under way at any time, for a `def` route that "
    "computes for milliseconds. A process for FastAPI shares the core of the load, not that of the "
    "worker, and its CPU is not counted; inside the worker only the thread that serves is.",
)
