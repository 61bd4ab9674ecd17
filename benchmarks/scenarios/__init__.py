"""The table of scenarios, in the order in which they run."""

from benchmarks.scenarios import (
    apps,
    broadcast,
    broadcast50k,
    busy,
    connect,
    echo,
    fairness,
    garbage,
    head,
    hello,
    notify50k,
    overload,
    pauses,
    push,
    rooms,
    silent,
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
        fairness,
        overload,
        silent,
        apps,
        pauses,
        notify50k,
    )
} | push.SCENARIOS
