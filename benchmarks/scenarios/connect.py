"""What a new connection costs: over WebSocket directly, and the way the default client comes."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus.processes import Answer, loading, started
from hocket.versus.watching import Growth

FILES = 3  # connections of a client that comes as a browser does

ROWS = {
    "websocket_cpu_us": Row("WebSocket at once: CPU per new connection, us", "{:.0f}", drawn=True),
    "websocket_per_s": Row("WebSocket at once: connections per second", "{:.0f}"),
    "upgraded_cpu_us": Row(
        "polling, then WebSocket: CPU per new connection, us", "{:.0f}", drawn=True
    ),
    "upgraded_per_s": Row("polling, then WebSocket: connections per second", "{:.0f}"),
    "upgraded_p50_ms": Row("polling, then WebSocket: time until upgraded, half, ms", drawn=True),
}


def connect(server: Server, command: Command, clients: int, program: str) -> Answer:
    kind = () if program == "connect" else (server.speaks,)
    with started(command, *server.flags) as running:
        growth = Growth(running, clients)
        with loading(building.load(program), running.port, clients, *kind) as load:
            answer = load.answer()
            answer["cpu_us"] = growth.cpu_per_client()
            load.finish()
    return answer


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each of the two ways; the second is for those who speak Socket.IO."""
    direct = connect(server, command, size.clients[0], "broadcast")
    run = {"websocket_cpu_us": direct["cpu_us"], "websocket_per_s": direct["connects_per_s"]}
    if server.speaks == "socketio":
        upgraded = connect(server, command, size.clients[0] // FILES, "connect")
        run["upgraded_cpu_us"] = upgraded["cpu_us"]
        run["upgraded_per_s"] = upgraded["connects_per_s"]
        run["upgraded_p50_ms"] = upgraded["ready_p50_ms"]
    return run


SCENARIO = Scenario(
    name="connect",
    title="New connections",
    columns=some("c", "socket.io", "socketioxide", "python-socketio", "hocket"),
    full=Size(clients=(15_000,), repeats=5),
    quick=Size(clients=(300,), repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    other_python=True,
    says="Who comes as a browser does has three connections on the way, so a third as many come.",
)
