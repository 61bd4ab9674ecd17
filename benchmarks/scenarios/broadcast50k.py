"""One message to 50,000, by servers of several processes."""

import time
from collections.abc import Sequence

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import SEVERAL, flags_for
from hocket.versus import machine
from hocket.versus.processes import loading, started
from hocket.versus.watching import AFTER_CONNECT, Growth, broadcast_round

MIB = 2**20

ROWS = {
    "cpu_us_per_message": Row("CPU of the server per delivered message, us", "{:.2f}", drawn=True),
    "last_ms": Row("time to the last client, ms", "{:.0f}", drawn=True),
    "p99_ms": Row("time to 99 % of the clients, ms", "{:.0f}"),
    "p50_ms": Row("time to half of the clients, ms", "{:.0f}"),
    "slope": Row("PSS per client, from few to many, bytes", "{:.0f}", floor=100, drawn=True),
    "base_mib": Row("PSS without clients, MiB"),
    "connect_cpu_us": Row("CPU per new connection, us", "{:.0f}"),
    "processes": Row("processes", "{:.0f}", floor=1e9),
}


def memory_with(server: Server, command: Command, flags: Sequence[str], clients: int) -> int:
    """Bytes of PSS of a fresh server with so many clients."""
    with (
        started(command, *flags) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as load,
    ):
        load.answer()
        time.sleep(AFTER_CONNECT)
        return machine.memory(running.pid)[0]


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for few clients, for the memory that they take; another one of as many
    processes for all, and some rounds.
    """
    few, many = size.clients[0], size.clients[-1]
    flags = flags_for(server, many)
    little = memory_with(server, command, flags, few)
    with started(command, *flags) as running:
        growth = Growth(running, many)
        with loading(building.load("broadcast"), running.port, many, server.speaks) as load:
            run = load.answer()
            run["connect_cpu_us"] = growth.cpu_per_client()
            run |= growth.memory_per_client()
            run["processes"] = len(machine.family(running.pid))
            run["rounds"] = [broadcast_round(load, running, many) for _ in range(size.rounds)]
            load.finish()
    grown = run["base_pss"] + run["pss_per_client"] * many - little
    run["slope"] = grown / max(1, many - few)
    run["base_mib"] = run["base_pss"] / MIB
    return run


SCENARIO = Scenario(
    name="broadcast50k",
    title="One message to 50,000",
    columns=some("c", "ws", "socket.io", "gorilla", "hocket"),
    full=Size(clients=(10_000, 50_000), rounds=10, repeats=5),
    quick=Size(clients=(100, 400), rounds=2, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says=SEVERAL,
)
