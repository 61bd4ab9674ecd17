"""Everybody comes at once, as after a restart: over WebSocket, and as the default client does."""

from benchmarks import building
from benchmarks.processes import Answer, loading, started
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import SEVERAL, flags_for
from benchmarks.watching import Growth

FILES = 3  # connections of a client that comes as a browser does

ROWS = {
    "websocket_cpu_us": Row("WebSocket at once: CPU per connection, us", "{:.0f}", drawn=True),
    "websocket_s": Row("WebSocket at once: until all are served, s", "{:.2f}", drawn=True),
    "upgraded_cpu_us": Row("polling, then WebSocket: CPU per client, us", "{:.0f}", drawn=True),
    "upgraded_s": Row("polling, then WebSocket: until all are served, s", "{:.2f}", drawn=True),
    "upgraded_clients": Row("polling, then WebSocket: clients", "{:.0f}", floor=1e9),
    "refused": Row("refused", "{:.0f}"),
}


def storm(server: Server, command: Command, clients: int, files: int, *load_with: str) -> Answer:
    """All clients at once. A connection that is refused, or lost, fails the run."""
    flags = (*flags_for(server, clients * files), *(("--sticky",) if files > 1 else ()))
    with started(command, *flags) as running:
        growth = Growth(running, clients)
        with loading(building.load(load_with[0]), running.port, clients, *load_with[1:]) as load:
            answer = load.answer()
            answer["cpu_us"] = growth.cpu_per_client()
            load.finish()
    return answer


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each of the two ways; the second is for those who speak Socket.IO."""
    clients = size.clients[0]
    direct = storm(server, command, clients, 1, "broadcast", server.speaks, "storm")
    run = {
        "websocket_cpu_us": direct["cpu_us"],
        "websocket_s": direct["connect_s"],
        "refused": 0,
    }
    if server.speaks == "socketio":
        fewer = clients // FILES
        upgraded = storm(server, command, fewer, FILES, "connect", "storm")
        run["upgraded_cpu_us"] = upgraded["cpu_us"]
        run["upgraded_s"] = upgraded["connect_s"]
        run["upgraded_clients"] = fewer
    return run


SCENARIO = Scenario(
    name="storm",
    title="50,000 come at once",
    columns=some("c", "socket.io", "gorilla", "hocket"),
    full=Size(clients=(50_000,), repeats=5),
    quick=Size(clients=(300,), repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says=f"{SEVERAL}\n\nNobody waits for another: all connections are asked for in a moment. "
    "One that is refused or lost fails the run. Who comes as a browser does has three connections, "
    "so a third as many come; socket.io then shares its clients by session (@socket.io/sticky).",
)
