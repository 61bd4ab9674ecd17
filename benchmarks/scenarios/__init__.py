"""The table of scenarios, in the order in which they run."""

from benchmarks.scenarios import (
    broadcast,
    broadcast50k,
    busy,
    connect,
    echo,
    garbage,
    head,
    hello,
    rooms,
    slow,
    sse,
    start,
    storm,
    timer,
)

SCENARIOS = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        broadcast,
        head,
        connect,
        echo,
        hello,
        start,
        busy,
        timer,
        sse,
        slow,
        garbage,
        broadcast50k,
        storm,
        rooms,
    )
}
