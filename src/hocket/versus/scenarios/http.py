"""Over HTTP: a page, how latency grows with load, and the first second of a server's life."""

from __future__ import annotations

import os
from typing import Any

from hocket.versus.machine import cpu_ns
from hocket.versus.processes import FailedError, Load, loading, started
from hocket.versus.scenario import ALL, Contest, Measure, Scenario, Values

CLIENTS = 64
WARM_UP = 0.3  # seconds
PATIENCE_MS = 50.0  # a service whose p99 is over this has too much load


def ask(
    load: Load, rate: float, seconds: float, path: str = "/", method: str = "GET", body: int = 0
) -> dict[str, Any]:
    """Requests for so long: on a schedule with a rate, as fast as it goes without."""
    return load.ask(f"{rate} {seconds} {method} {path} {body}")


def hello(contest: Contest) -> Values:
    seconds = contest.size["seconds"]
    with (
        started(contest.program("hello")) as server,
        loading(contest.load("http"), server.port, CLIENTS) as load,
    ):
        load.answer()
        ask(load, 0, WARM_UP)
        before = cpu_ns(server.pid)
        told = ask(load, 0, seconds)
        spent = cpu_ns(server.pid) - before
    one = {
        "per_s": told["per_s"],
        "p99_ms": told["p99_us"] / 1e3,
        "cpu_us": spent / 1e3 / told["requests"],
    }
    return one | ({"all_per_s": _on_all(contest, seconds)} if contest.key in ON_ALL else {})


ON_ALL = {"go": "hello", "node": "hello_cluster", "hocket": "hello"}


def _on_all(contest: Contest, seconds: float) -> float:
    """The server has all cores, and shares them with the load."""
    cores = sorted(os.sched_getaffinity(0))
    command = contest.program(ON_ALL[contest.key])
    if contest.key == "hocket":
        command = [*command[:1], f"HOCKET_WORKERS={len(cores)}", *command[1:]]
    flags = (str(len(cores)),) if contest.key == "node" else ()
    with (
        started(command, *flags, cores=cores) as server,
        loading(contest.load("http"), server.port, CLIENTS) as load,
    ):
        load.answer()
        ask(load, 0, WARM_UP)
        return float(ask(load, 0, seconds)["per_s"])


HELLO = Scenario(
    name="hello",
    title="A page over HTTP",
    question="How many requests a second does one core answer, and how many do all of them?",
    measures={
        "per_s": Measure("requests per second, one core", "/s", "more", 0),
        "p99_ms": Measure("time until the answer, 99 %", "ms", digits=2, least=0.1),
        "cpu_us": Measure("CPU per request", "us"),
        "all_per_s": Measure(
            "requests per second, all cores shared with the load", "/s", "more", 0
        ),
    },
    run=hello,
    full={"seconds": 4},
    quick={"seconds": 0.5},
    programs=("hello",),
    loads=("http",),
    says="64 connections, each with one request under way.",
)


def latency(contest: Contest) -> Values:
    """Rising rates until 99 % of the answers take too long. Raises FailedError."""
    highest = 0.0
    found: Values = {}
    with (
        started(contest.program("hello")) as server,
        loading(contest.load("http"), server.port, CLIENTS) as load,
    ):
        load.answer()
        ask(load, 0, WARM_UP)
        for rate in contest.size["rates"]:
            told = ask(load, rate, contest.size["seconds"])
            if rate == contest.size["common"]:
                found = {key: told[f"{key}_us"] / 1e3 for key in ("p50", "p99", "p999")}
            if told["p99_us"] / 1e3 > PATIENCE_MS:  # with what was due and not sent in it
                break
            highest = rate
    found["highest"] = highest
    if "p50" not in found:
        raise FailedError(f"{rate:,} requests a second were too many", found)
    return found


RATES = [1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000]
RATES += [80_000, 100_000, 120_000]

LATENCY = Scenario(
    name="latency",
    title="Latency against load",
    question="How long do answers take at a given load, and which load is too much?",
    measures={
        "p50": Measure("at 5,000 requests a second: half", "ms", digits=3, least=0.05),
        "p99": Measure("at 5,000 requests a second: 99 %", "ms", digits=3, least=0.1),
        "p999": Measure("at 5,000 requests a second: 99.9 %", "ms", digits=3, least=0.2),
        "highest": Measure("highest rate with 99 % under 50 ms", "/s", "more", 0),
    },
    run=latency,
    full={"seconds": 2, "rates": RATES, "common": 5_000},
    quick={"seconds": 0.5, "rates": [5_000, 30_000, 60_000], "common": 5_000},
    programs=("hello",),
    loads=("http",),
    says="An open loop on one core: a time counts from when the request was due.",
)


def first_second(contest: Contest) -> Values:
    """The load comes as soon as the server listens; its slices are tenths of a second."""
    with (
        started(contest.program("hello")) as server,
        loading(contest.load("http"), server.port, CLIENTS) as load,
    ):
        load.answer()
        slices = ask(load, 0, contest.size["seconds"])["slices"]
    first, steady = sum(slices[:10]), sum(slices[-10:])
    return {"share": 100 * first / steady, "tenth": 100 * slices[0] * 10 / steady}


WARMTH = Scenario(
    name="warmth",
    title="The first second against steady state",
    question="Does a server answer as fast right after its start as it does later?",
    measures={
        "share": Measure("the first second, of what it does later", "%", "more", 0),
        "tenth": Measure("the first tenth of a second, of what it does later", "%", "more", 0),
    },
    run=first_second,
    full={"seconds": 8},
    quick=None,
    columns=ALL,
    programs=("hello",),
    loads=("http",),
    says="100 % means that there is nothing to warm up.",
)
