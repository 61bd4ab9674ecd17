"""The table of scenarios, in the order in which they run."""

from hocket.versus.scenarios import chat, code, crowd, http, memory, size, start, types, work

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        http.HELLO,
        start.START,
        size.SIZE,
        memory.MEMORY,
        memory.TASKS,
        chat.BROADCAST,
        crowd.SINGLE,
        crowd.CROWD,
        chat.ECHO,
        chat.ROOMS,
        chat.CHURN,
        work.CPU,
        work.IO,
        work.FILES,
        work.PROXY,
        work.PUSH,
        http.LATENCY,
        http.WARMTH,
        types.TYPES,
        code.CODE,
    )
}
