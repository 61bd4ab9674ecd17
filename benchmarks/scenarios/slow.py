"""Echoes beside clients that hold a server up."""

from dataclasses import replace

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.scenarios.echo import WARM_UP
from benchmarks.servers import HOCKET, Command, Server, some
from benchmarks.slow_clients import bombing, holding_up
from hocket.versus import machine
from hocket.versus.processes import loading, started

ECHO_CLIENTS = 64

WHEN = {"alone": "alone", "beside": "beside them", "bombed": "beside deflate bombs"}


def parts(clients: int) -> dict[str, int]:
    """Of 12,200 clients 2,000 send half heads, 200 slow bodies, and 10,000 rest."""
    half_heads, slow_bodies = clients * 2_000 // 12_200, clients * 200 // 12_200
    resting = clients - half_heads - slow_bodies
    return {"resting": resting, "half_heads": half_heads, "slow_bodies": slow_bodies}


def rows(size: Size) -> dict[str, Row]:
    measures = {
        "p50_us": Row("echo, half, us", "{:.0f}"),
        "p99_us": Row("echo, 99 %, us", "{:.0f}", drawn=True),
        "events_per_s": Row("echoes per second", "{:.0f}"),
    }
    return {
        f"{when}_{key}": Row(f"{told}: {row.title}", row.form, drawn=row.drawn)
        for key, row in measures.items()
        for when, told in WHEN.items()
    } | {
        "anonymous_per_client": Row(
            "anonymous memory per slow client, bytes", "{:.0f}", drawn=True
        ),
        "held": Row("slow clients still connected at the end", "{:.0f}"),
        "bombs": Row("deflate bombs refused", "{:.0f}"),
        "most_mib": Row("most memory the server ever had, MiB"),
    }


def measure(server: Server, command: Command, size: Size) -> Run:
    """The same clients echo, first alone, then beside the slow ones."""
    clients = size.clients[0]
    with (
        started(command, *server.flags) as running,
        loading(building.load("echo"), running.port, ECHO_CLIENTS, server.speaks) as load,
    ):
        load.answer()
        load.ask(str(WARM_UP))
        run = {f"alone_{key}": value for key, value in load.ask(str(size.seconds)).items()}
        before = machine.memory(running.pid)[1]
        with holding_up(running.port, **parts(clients)) as slow:
            after = machine.memory(running.pid)[1]
            echoes = load.ask(str(size.seconds))
            run["held"] = slow.held()
        run |= {f"beside_{key}": value for key, value in echoes.items()}
        with bombing(running.port) as bombs:
            echoes = load.ask(str(size.seconds))
        if bombs.closed:
            run |= {f"bombed_{key}": value for key, value in echoes.items()}
            run["bombs"] = bombs.closed
        run["most_mib"] = machine.most_memory(running.pid) / 2**20
        load.finish()
    run["anonymous_per_client"] = (after - before) / clients
    return run


SCENARIO = Scenario(
    name="slow",
    title="Echoes beside clients that hold the server up",
    columns=some("socket.io", "python-socketio")
    | {"hocket": replace(HOCKET, flags=("--compress",))},
    full=Size(clients=(12_200,), seconds=5, repeats=3),
    quick=Size(clients=(610,), seconds=1, repeats=1),
    rows=rows,
    measure=measure,
    says="Of the slow clients 10,000 rest on a connection kept alive, 2,000 send a head and "
    "200 a body, a byte a second. Then comes a deflate bomb a second, 64 KB that would be 64 MB: "
    "for those that agree to compress at all.",
)
