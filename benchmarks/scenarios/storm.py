"""Everybody comes at once, as after a restart: over WebSocket, and as the default client does."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import SEVERAL, flags_for
from hocket.versus.processes import Answer, loading, started
from hocket.versus.watching import Growth

WAYS = {  # what it is called, what brings the clients, and how many connections each has
    "websocket": ("WebSocket", "broadcast", "storm", 1),
    "moment": ("WebSocket, in one moment", "broadcast", "moment", 1),
    "upgraded": ("polling, then WebSocket", "connect", "storm", 3),
}


def rows(size: Size) -> dict[str, Row]:
    measures = {
        "cpu_us": Row("CPU per client, us", "{:.0f}", drawn=True),
        "connect_s": Row("until all are served, s", "{:.2f}", drawn=True),
        "refused": Row("refused", "{:.0f}"),
    }
    return {
        f"{way}_{key}": Row(f"{told}: {row.title}", row.form, drawn=row.drawn)
        for way, (told, *_) in WAYS.items()
        for key, row in measures.items()
    }


def storm(server: Server, command: Command, clients: int, way: str) -> Answer:
    """All clients; those that are refused or lost are counted."""
    _, program, how, files = WAYS[way]
    kind = (server.speaks,) if files == 1 else ()
    flags = (*flags_for(server, clients), *(("--sticky",) if files > 1 else ()))
    with started(command, *flags) as running:
        growth = Growth(running, clients)
        arguments = (running.port, clients // files, *kind, how)
        with loading(building.load(program), *arguments) as load:
            answer = load.answer()
            answer["cpu_us"] = growth.cpu_per_client() * files
            load.finish()
    return answer


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each way; the last is for those who speak Socket.IO."""
    run: Run = {}
    for way in WAYS if server.speaks == "socketio" else ("websocket", "moment"):
        answer = storm(server, command, size.clients[0], way)
        run |= {f"{way}_{key}": answer[key] for key in ("cpu_us", "connect_s", "refused")}
    return run


SCENARIO = Scenario(
    name="storm",
    title="50,000 come at once",
    columns=some("c", "socket.io", "gorilla", "hocket"),
    full=Size(clients=(50_000,), repeats=5),
    quick=Size(clients=(300,), repeats=1),
    rows=rows,
    measure=measure,
    several=True,
    says=f"{SEVERAL}\n\n4,000 connections are under way at any time, as many as a listening socket "
    "lets wait. In one moment: all are asked for before the first is served; whoever finds no "
    "place tries again after a second, then after two, as TCP does, so the time is TCP's. Who "
    "comes as a browser does has three connections, so a third as many come; socket.io then shares "
    "its clients by session (@socket.io/sticky).",
)
