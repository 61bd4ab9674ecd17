"""One message to all."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus.processes import loading, started
from hocket.versus.watching import Growth, broadcast_round

ROWS = {
    "cpu_us_per_message": Row("CPU per delivered message, us", drawn=True),
    "last_ms": Row("time to the last client, ms", "{:.0f}", drawn=True),
    "p99_ms": Row("time to 99 % of the clients, ms", "{:.0f}"),
    "p50_ms": Row("time to half of the clients, ms", "{:.0f}"),
    "anonymous_per_client": Row(
        "anonymous memory per client, bytes", "{:.0f}", floor=100, drawn=True
    ),
    "pss_per_client": Row("PSS per client, bytes", "{:.0f}", floor=100),
    "connect_cpu_us": Row("CPU per new connection, us", "{:.0f}", drawn=True),
    "connects_per_s": Row("new connections per second", "{:.0f}"),
}


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server, all clients, some rounds."""
    clients = size.clients[0]
    program = building.load("broadcast")
    with started(command, *server.flags) as running:
        growth = Growth(running, clients)
        with loading(program, running.port, clients, server.speaks) as load:
            run = load.answer()
            run["connect_cpu_us"] = growth.cpu_per_client()
            run |= growth.memory_per_client()
            run["rounds"] = [broadcast_round(load, running, clients) for _ in range(size.rounds)]
            load.finish()
    return run


SCENARIO = Scenario(
    name="broadcast",
    title="One message to all",
    columns=some(
        "c",
        "ws",
        "socket.io",
        "gorilla",
        "centrifuge",
        "socketioxide",
        "python-socketio",
        "hocket",
    ),
    full=Size(clients=(15_000,), rounds=20, repeats=5),
    quick=Size(clients=(300,), rounds=3, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    other_python=True,
)
