"""One event to all over Server-Sent Events."""

from dataclasses import replace

from benchmarks.scenario import Scenario, Size
from benchmarks.scenarios import broadcast
from benchmarks.servers import some

SCENARIO = Scenario(
    name="sse",
    title="One event to all over Server-Sent Events",
    columns={
        key: replace(server, speaks="sse") for key, server in some("node", "go", "hocket").items()
    },
    full=Size(clients=(10_000,), rounds=20, repeats=5),
    quick=Size(clients=(300,), rounds=3, repeats=1),
    rows=lambda size: broadcast.ROWS,
    measure=broadcast.measure,
)
