"""Echoes of a few while everybody gets broadcast after broadcast."""

from dataclasses import dataclass

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import SEVERAL, flags_for
from hocket.versus import machine
from hocket.versus.machine import put_first
from hocket.versus.processes import Load, Running, loading, started

ECHO_CLIENTS = 500
PER_SECOND = 500  # echoes, by the clock
ALONE = 1.0  # seconds

ROWS = {
    "p99_ms": Row("echo beside broadcasts, 99 %, ms", drawn=True),
    "p50_ms": Row("echo beside broadcasts, half, ms", drawn=True),
    "max_ms": Row("echo beside broadcasts, most, ms"),
    "late_p99_ms": Row("of that, before the load had sent it, 99 %, ms", "{:.2f}"),
    "alone_p99_ms": Row("echo alone, 99 %, ms", "{:.2f}"),
    "alone_p50_ms": Row("echo alone, half, ms", "{:.2f}"),
    "samples": Row("echoes", "{:.0f}", floor=1e9),
    "delivered_per_s": Row("messages of broadcasts delivered per second", "{:.0f}"),
    "server_waited_ms": Row("the server's processes waited for a core, ms per second", "{:.0f}"),
    "load_waited_ms": Row("the load of echoes waited for a core, ms per second", "{:.0f}"),
}


@dataclass
class Waiting:
    """How long processes have waited for a core since then."""

    pid: int

    def __post_init__(self) -> None:
        self.since = machine.waited_ns(self.pid)

    def ms(self) -> float:
        return (machine.waited_ns(self.pid) - self.since) / 1e6


def echoes(load: Load, crowd: Load, seconds: float) -> Run:
    """What the echoes took while the crowd got round after round, and how many rounds that were."""
    rounds = 0
    load.say(f"{seconds} {PER_SECOND}")
    while not load.has_answered():
        crowd.ask("go")
        rounds += 1
    return {**load.answer(), "rounds": rounds}


def measure(server: Server, command: Command, size: Size) -> Run:
    clients = size.clients[0]
    flags = flags_for(server, clients + ECHO_CLIENTS)
    with (
        started(command, *flags) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as crowd,
    ):
        crowd.answer()
        return beside(server, running, crowd, size)


def beside(server: Server, running: Running, crowd: Load, size: Size) -> Run:
    """The echo clients are members, too, but only the crowd counts what it gets."""
    with loading(building.load("echo"), running.port, ECHO_CLIENTS, server.speaks) as load:
        load.answer()
        put_first(load.pid)  # else it is late by up to 50 ms, and the p99 is the load's
        load.ask(f"{ALONE} {PER_SECOND}")  # warms up
        alone = load.ask(f"{ALONE} {PER_SECOND}")
        waits = Waiting(running.pid), Waiting(load.pid)
        answer = echoes(load, crowd, size.seconds)
        server_waited, load_waited = (waiting.ms() for waiting in waits)
        load.finish()
    crowd.finish()
    return {
        **{f"{key}_ms": answer[f"{key}_us"] / 1e3 for key in ("p50", "p99", "max", "late_p99")},
        **{f"alone_{key}_ms": alone[f"{key}_us"] / 1e3 for key in ("p50", "p99")},
        "samples": answer["events"],
        "delivered_per_s": answer["rounds"] * size.clients[0] / size.seconds,
        "server_waited_ms": server_waited / size.seconds,
        "load_waited_ms": load_waited / size.seconds,
    }


SCENARIO = Scenario(
    name="fairness",
    title="Echoes while 50,000 get broadcast after broadcast",
    columns=some("ws", "socket.io", "gorilla", "hocket"),
    full=Size(clients=(50_000,), seconds=10, repeats=5),
    quick=Size(clients=(300,), seconds=1, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says=f"{SEVERAL}\n\nA broadcast begins when the last client has the one before. "
    f"{ECHO_CLIENTS} more clients send {PER_SECOND} echoes a second by the clock, and the time of "
    "each counts from when it was due. All processes of the load share a core. That of the echoes "
    "comes first there (SCHED_FIFO, which only root may ask for): among equals it was late by up "
    "to 50 ms. What had passed before it sent, and what it waited for the core, is stated.",
)
