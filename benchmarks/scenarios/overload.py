"""More broadcasts than can be written one by one."""

import time
from statistics import median

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import flags_for
from hocket.versus import machine
from hocket.versus.processes import Load, Running, loading, started
from hocket.versus.watching import broadcast_round

TIMES = 3  # what a server can write, one message after the other
ROUNDS = 5  # to find out what that is
BETWEEN_SAMPLES = 0.2  # seconds
MIB = 2**20

ROWS = {
    "gain": Row("delivered, by what one write per message carries", "{:.2f}", drawn=True),
    "delivered_per_s": Row("delivered messages per second", "{:.0f}", drawn=True),
    "single_per_s": Row("the same with one message at a time", "{:.0f}"),
    "asked_share": Row(f"broadcasts taken, of {TIMES} times as many", "{:.2f}"),
    "took_s": Row("until the last client had the last of them, s", "{:.1f}"),
    "before_mib": Row("PSS before, MiB"),
    "most_mib": Row("most PSS, MiB", drawn=True),
    "lost": Row("clients cut, or without a message", "{:.0f}"),
}


def flood(load: Load, running: Running, per_second: float, seconds: float) -> Run:
    """Broadcasts by the clock, and the most memory that they took."""
    most = machine.memory(running.pid)[0]
    load.say(f"{per_second} {seconds}")
    while not load.has_answered():
        most = max(most, machine.memory(running.pid)[0])
        time.sleep(BETWEEN_SAMPLES)
    return {**load.answer(), "most_mib": most / MIB}


def single(server: Server, running: Running, clients: int) -> float:
    """Messages a second, one broadcast after the other."""
    with loading(building.load("broadcast"), running.port, clients, server.speaks) as load:
        load.answer()
        took: list[float] = [
            broadcast_round(load, running, clients)["last_ms"] for _ in range(ROUNDS)
        ]
        load.finish()
    return clients / median(took) * 1e3


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server to find out what it carries, and another to ask three times that of it."""
    clients = size.clients[0]
    flags = flags_for(server, clients)
    with started(command, *flags) as running:
        can = single(server, running, clients)
    wanted = TIMES * can / clients
    with (
        started(command, *flags) as running,
        loading(building.load("flood"), running.port, clients, server.speaks) as load,
    ):
        load.answer()
        before = machine.memory(running.pid)[0]
        answer = flood(load, running, wanted, size.seconds)
        load.finish()
    return {
        **answer,
        "single_per_s": can,
        "gain": answer["delivered_per_s"] / can,
        "asked_share": answer["asked"] / (wanted * size.seconds),
        "before_mib": before / MIB,
        "lost": 0,  # else there is no answer: the load counts every message of every client
    }


SCENARIO = Scenario(
    name="overload",
    title="Three times as many broadcasts as one write each can carry",
    columns=some("ws", "socket.io", "hocket"),
    full=Size(clients=(5_000,), seconds=10, repeats=5),
    quick=Size(clients=(200,), seconds=1, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says="Two processes of a server share one core. Each is first asked for one broadcast after "
    f"the other, then for {TIMES} times as many as it did, by the clock. What it does not read yet "
    "waits at the client that asks. Every client must get all of them, in their order, or the run "
    "fails. Not here: the C loop, which drops what a client's buffer does not take, and gorilla, "
    "whose chat example disconnects whoever has 16 messages waiting.",
)
