"""One message to all beside a thread that computes in pure Python."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import SERVERS, Command, Server, busy
from hocket.versus import machine
from hocket.versus.processes import LOAD_CORE, SERVER_CORE, loading, started
from hocket.versus.watching import broadcast_round

NAIVE_CLIENTS = 1_000  # of the asyncio loop, which takes 5 ms for each beside the thread

ROWS = {
    "cpu_us_per_message": Row("CPU of the serving thread per delivered message, us", drawn=True),
    "last_us_per_client": Row("time to the last client, per client, us", drawn=True),
    "last_ms": Row("time to the last client, ms", "{:.0f}"),
}


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server, all clients, some rounds. The busy thread's own CPU is not counted."""
    clients = size.clients[0]
    if server.speaks == "raw":
        clients = min(clients, NAIVE_CLIENTS)
    with (
        started(command, *server.flags, cores=(SERVER_CORE, LOAD_CORE)) as running,
        loading(building.load("broadcast"), running.port, clients, server.speaks) as load,
    ):
        run = load.answer()
        run["rounds"] = [
            broadcast_round(load, running, clients, machine.main_thread_ns)
            for _ in range(size.rounds)
        ]
        load.finish()
    for one in run["rounds"]:
        one["last_us_per_client"] = one["last_ms"] * 1e3 / clients
    return run


SCENARIO = Scenario(
    name="busy",
    title="One message to all beside a busy thread",
    columns={
        "asyncio": SERVERS["asyncio"],
        "asyncio-busy": busy(SERVERS["asyncio"]),
        "hocket": SERVERS["hocket"],
        "hocket-busy": busy(SERVERS["hocket"]),
    },
    full=Size(clients=(15_000,), rounds=5, repeats=5),
    quick=Size(clients=(200,), rounds=2, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    ratios=(
        ("asyncio-busy", "asyncio"),
        ("hocket-busy", "hocket"),
        ("hocket-busy", "asyncio-busy"),
    ),
    says="The server may use both cores: with one, the scheduler and not the GIL would decide who "
    f"runs. The asyncio loop has {NAIVE_CLIENTS:,} clients: it takes 5 ms for each.",
)
