"""A thousand rooms of 50, with messages in all of them at once."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from benchmarks.several import SEVERAL, flags_for
from hocket.versus import machine
from hocket.versus.processes import loading, started

WARM_UP = 0.5  # seconds

ROWS = {
    "delivered_per_s": Row("delivered messages per second", "{:.0f}", drawn=True),
    "cpu_us_per_message": Row("CPU of the server per delivered message, us", "{:.2f}", drawn=True),
    "load_cpu_us_per_message": Row("CPU of the load per delivered message, us", "{:.2f}"),
}


def measure(server: Server, command: Command, size: Size) -> Run:
    clients = size.clients[0]
    with (
        started(command, *flags_for(server, clients)) as running,
        loading(building.load("rooms"), running.port, clients, server.speaks) as load,
    ):
        load.answer()
        load.ask(str(WARM_UP))
        before, load_before = machine.cpu_ns(running.pid), machine.cpu_ns(load.pid)
        run = load.ask(str(size.seconds))
        spent = machine.cpu_ns(running.pid) - before
        load_spent = machine.cpu_ns(load.pid) - load_before
        load.finish()
    return {
        **run,
        "cpu_us_per_message": spent / run["delivered"] / 1e3,
        "load_cpu_us_per_message": load_spent / run["delivered"] / 1e3,
    }


SCENARIO = Scenario(
    name="rooms",
    title="Messages in 1,000 rooms of 50",
    columns=some("ws", "socket.io", "gorilla", "hocket"),
    full=Size(clients=(50_000,), seconds=5, repeats=5),
    quick=Size(clients=(300,), seconds=1, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says=f"{SEVERAL}\n\nThe members of a room are spread over all processes. In each room somebody "
    "sends as soon as all members have the message before it, exactly once.",
)
