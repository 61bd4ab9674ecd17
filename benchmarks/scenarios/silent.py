"""Clients that never read, beside clients that do."""

from dataclasses import dataclass, field
from statistics import median

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import flags_for
from hocket.versus import machine
from hocket.versus.asking import get_metrics
from hocket.versus.processes import Load, Running, loading, started

MIB = 2**20
WITHOUT = 5  # so many times fewer rounds without them
SLOW = "hocket_slow_consumers_total"

ROWS = {
    "p99_ratio": Row("p99 beside them, by p99 without them", "{:.2f}", drawn=True),
    "without_p99_ms": Row("without them: time to 99 % of the clients, ms"),
    "beside_p99_ms": Row("beside them: time to 99 % of the clients, ms", drawn=True),
    "before_mib": Row("PSS of the server before, MiB"),
    "most_mib": Row("PSS of the server, most, MiB", drawn=True),
    "kernel_before_mib": Row("TCP memory of the kernel before, MiB"),
    "kernel_mib": Row("TCP memory of the kernel, most, MiB", drawn=True),
    "closed": Row("silent clients that the server has closed", "{:.0f}"),
    "slow_consumers": Row("slow consumers, as Hocket counts them", "{:.0f}"),
}


@dataclass
class Memory:
    """The most that there was when somebody looked."""

    pid: int
    pss: list[int] = field(default_factory=list)
    kernel: list[int] = field(default_factory=list)

    def look(self) -> None:
        self.pss.append(machine.memory(self.pid)[0])
        self.kernel.append(machine.tcp_bytes())


def rounds(load: Load, count: int, memory: Memory) -> float:
    """The median of their p99, in ms."""
    found: list[float] = []
    for _ in range(count):
        found.append(load.ask("large")["p99_ms"])
        memory.look()
    return median(found)


def slow_consumers(server: Server, running: Running) -> Run:
    """What Hocket counts itself: who was too slow for it."""
    if "hocket" not in server.name.lower():
        return {}
    return {"slow_consumers": get_metrics(running.port)[SLOW]}


def measure(server: Server, command: Command, size: Size) -> Run:
    """Large messages: with small ones it would take hours to fill the buffers of the silent."""
    clients, silent = size.clients
    with (
        started(command, *flags_for(server, clients + silent)) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as load,
    ):
        load.answer()
        before, most = Memory(running.pid), Memory(running.pid)
        without = rounds(load, max(1, size.rounds // WITHOUT), before)
        with loading(building.load("silent"), running.port, silent, server.speaks) as silence:
            silence.answer()
            beside = rounds(load, size.rounds, most)
            run = {"closed": silence.ask("closed?")["closed"], **slow_consumers(server, running)}
            silence.finish()
        load.finish()
    return {
        **run,
        "without_p99_ms": without,
        "beside_p99_ms": beside,
        "p99_ratio": beside / without,
        "before_mib": max(before.pss) / MIB,
        "most_mib": max(most.pss) / MIB,
        "kernel_before_mib": max(before.kernel) / MIB,
        "kernel_mib": max(most.kernel) / MIB,
    }


SCENARIO = Scenario(
    name="silent",
    title="1,000 clients that never read beside 10,000 that do",
    columns=some("socket.io", "gorilla", "hocket"),
    full=Size(clients=(10_000, 1_000), rounds=150, repeats=3),
    quick=Size(clients=(200, 20), rounds=10, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says="Two processes of a server share one core. Broadcasts of 16 KiB, one after the other: "
    "without the silent clients for a fifth of the rounds, then beside them, until what a server "
    "keeps for each of them has long been full. They do not answer heartbeats either. socket.io "
    "keeps everything; gorilla's chat example disconnects whoever has 16 messages waiting.",
)
