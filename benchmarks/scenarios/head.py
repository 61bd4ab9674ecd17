"""What a browser's request head adds to the memory of a client."""

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import Command, Server, some
from hocket.versus.processes import loading, started
from hocket.versus.watching import Growth

HEADS = {"short": "a head of 180 bytes", "browser": "a browser's head, 450 bytes"}


def rows(size: Size) -> dict[str, Row]:
    measures = {
        "anonymous_per_client": Row(
            "anonymous memory per client, bytes", "{:.0f}", 100, drawn=True
        ),
        "connect_cpu_us": Row("CPU per new connection, us", "{:.0f}", drawn=True),
    }
    return {
        f"{head}_{key}": Row(f"{told}: {row.title}", row.form, row.floor, row.drawn)
        for key, row in measures.items()
        for head, told in HEADS.items()
    } | {"added": Row("what the longer head adds per client, bytes", "{:.0f}")}


def measure(server: Server, command: Command, size: Size) -> Run:
    """A fresh server for each of the two heads."""
    run: Run = {}
    for head in HEADS:
        with started(command, *server.flags) as running:
            growth = Growth(running, size.clients[0])
            arguments = (running.port, size.clients[0], server.speaks, head)
            with loading(building.load("broadcast"), *arguments) as load:
                load.answer()
                run[f"{head}_connect_cpu_us"] = growth.cpu_per_client()
                memory = growth.memory_per_client()
                run[f"{head}_anonymous_per_client"] = memory["anonymous_per_client"]
    run["added"] = run["browser_anonymous_per_client"] - run["short_anonymous_per_client"]
    return run


SCENARIO = Scenario(
    name="head",
    title="A browser's request head",
    columns=some("socket.io", "hocket"),
    full=Size(clients=(15_000,), repeats=3),
    quick=Size(clients=(500,), repeats=1),
    rows=rows,
    measure=measure,
)
