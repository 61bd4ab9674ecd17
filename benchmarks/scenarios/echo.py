"""An event answered by an event, as fast as it goes."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus import machine
from hocket.versus.processes import Answer, loading, started

WARM_UP = 0.5  # seconds; compilers that work while a program runs have their chance

MEASURES = {
    "events_per_s": Row("events per second", "{:.0f}", drawn=True),
    "p50_us": Row("time until the answer, half, us", "{:.0f}"),
    "p99_us": Row("time until the answer, 99 %, us", "{:.0f}", drawn=True),
    "cpu_us": Row("CPU per event, us"),
}


def rows(size: Size) -> dict[str, Row]:
    return {
        f"{key}_{clients}": Row(f"{clients:,} clients: {row.title}", row.form, drawn=row.drawn)
        for clients in size.clients
        for key, row in MEASURES.items()
    }


def echo(server: Server, command: Command, clients: int, seconds: float) -> Answer:
    with (
        started(command, *server.flags) as running,
        loading(building.load("echo"), running.port, clients, server.speaks) as load,
    ):
        load.answer()
        load.ask(str(WARM_UP))
        before = machine.cpu_ns(running.pid)
        answer = load.ask(str(seconds))
        answer["cpu_us"] = (machine.cpu_ns(running.pid) - before) / 1e3 / answer["events"]
        load.finish()
    return answer


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each number of clients."""
    run: Run = {}
    for clients in size.clients:
        answer = echo(server, command, clients, size.seconds)
        run |= {f"{key}_{clients}": answer[key] for key in MEASURES}
    return run


SCENARIO = Scenario(
    name="echo",
    title="An event answered by an event",
    columns=some("ws", "gorilla", "socket.io", "socketioxide", "python-socketio", "hocket"),
    full=Size(clients=(100, 1_000), seconds=5.0, repeats=5),
    quick=Size(clients=(100,), seconds=1.0, repeats=1),
    rows=rows,
    measure=measure,
    other_python=True,
)
