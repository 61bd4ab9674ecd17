"""A chat in rooms: how much it carries, how long a message takes, and what disturbs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hocket.versus.asking import get_json
from hocket.versus.machine import cpu_ns, memory
from hocket.versus.processes import FailedError, Load, Running, loading, started
from hocket.versus.scenario import Contest, Measure, Scenario, Values

Told = dict[str, float]

WARM_UP = 0.3  # seconds


@contextmanager
def chatting(contest: Contest) -> Iterator[tuple[Load, Running]]:
    """A fresh chat with all clients in their rooms."""
    size = contest.size
    with started(contest.program("chat")) as server:
        arguments = (server.port, size["clients"], size["room"], contest.platform.speaks)
        with loading(contest.load("chat"), *arguments) as load:
            load.answer()
            yield load, server


def talk(load: Load, rate: float, seconds: float, moves: float = 0, churn: float = 0) -> Told:
    """Raises FailedError when a member did not get a message."""
    told = load.ask(f"{rate} {seconds} {moves} {churn}")
    if told["lost"]:
        raise FailedError(f"{told['lost']} deliveries did not come")
    return told


def rooms(contest: Contest) -> Values:
    seconds, rate = contest.size["seconds"], contest.size["rate"]
    with chatting(contest) as (load, server):
        talk(load, rate, WARM_UP)
        before = cpu_ns(server.pid)
        most = talk(load, 0, seconds)
        spent = cpu_ns(server.pid) - before
        values = {
            "delivered_per_s": most["delivered_per_s"],
            "cpu_us": spent / 1e3 / most["delivered"],
        }
        try:
            values |= given(load, rate, seconds, contest.size["moves"])
        except FailedError as error:
            raise FailedError(f"at {rate} messages a second {error}", values) from None
        pauses = get_json(server.port, "/pauses")
        used = memory(server.pid)[0]
    return {**values, "pause_ms": pauses["max_ms"], "mib": used / 2**20}


def given(load: Load, rate: float, seconds: float, moves: float) -> Values:
    """At a given load, which not every server can carry. Raises FailedError."""
    calm = talk(load, rate, seconds)
    moving = talk(load, rate, seconds, moves=moves)
    return {
        "p50_ms": calm["p50_us"] / 1e3,
        "p99_ms": calm["p99_us"] / 1e3,
        "moving_p99_ms": moving["p99_us"] / 1e3,
    }


ROOMS = Scenario(
    name="chat",
    title="Chat in rooms, with joins and leaves",
    question="How many messages reach their readers, how fast, and how long does the collector "
    "stop everything?",
    measures={
        "delivered_per_s": Measure("most deliveries per second, one core", "/s", "more", 0),
        "cpu_us": Measure("CPU per delivery", "us", digits=2),
        "p50_ms": Measure("a message's way at a given load: half", "ms", digits=2, least=0.1),
        "p99_ms": Measure("a message's way at a given load: 99 %", "ms", digits=2, least=0.2),
        "moving_p99_ms": Measure(
            "the same while users join and leave: 99 %", "ms", digits=2, least=0.2
        ),
        "pause_ms": Measure("longest pause of the garbage collector", "ms", digits=2, least=0.5),
        "mib": Measure("memory of the server", "MiB"),
    },
    run=rooms,
    full={"clients": 5_000, "room": 50, "rate": 400, "moves": 500, "seconds": 4},
    quick={"clients": 800, "room": 50, "rate": 200, "moves": 200, "seconds": 0.5},
    programs=("chat",),
    loads=("chat",),
    says="Given load: 400 messages a second to rooms of 50, so 20,000 deliveries (quick: half). "
    "Go speaks bare WebSocket here, the others Socket.IO.",
)


def churn(contest: Contest) -> Values:
    size = contest.size
    with chatting(contest) as (load, _):
        talk(load, size["rate"], WARM_UP)
        calm = talk(load, size["rate"], size["seconds"])
        beside = talk(load, size["rate"], size["seconds"], churn=size["churn"])
    return {
        "calm_p99_ms": calm["p99_us"] / 1e3,
        "p99_ms": beside["p99_us"] / 1e3,
        "p999_ms": beside["p999_us"] / 1e3,
        "arrival_p99_ms": beside["arrival_p99_us"] / 1e3,
    }


CHURN = Scenario(
    name="churn",
    title="Connections coming and going while others chat",
    question="Does the chat notice that others come and go all the time?",
    measures={
        "calm_p99_ms": Measure("a message's way, nobody comes: 99 %", "ms", digits=2, least=0.2),
        "p99_ms": Measure("a message's way beside newcomers: 99 %", "ms", digits=2, least=0.2),
        "p999_ms": Measure("a message's way beside newcomers: 99.9 %", "ms", digits=2, least=0.5),
        "arrival_p99_ms": Measure("a newcomer's way into a room: 99 %", "ms", digits=2, least=0.2),
    },
    run=churn,
    full={"clients": 5_000, "room": 50, "rate": 200, "churn": 300, "seconds": 6},
    quick=None,
    programs=("chat",),
    loads=("chat",),
    says="300 connections a second come, join a room and go.",
)


def broadcast(contest: Contest) -> Values:
    """One room that everybody is in; the next message follows when all have the last one."""
    with chatting(contest) as (load, server):
        talk(load, 0, WARM_UP)
        before = cpu_ns(server.pid)
        told = talk(load, 0, contest.size["seconds"])
        spent = cpu_ns(server.pid) - before
    return {
        "cpu_us": spent / 1e3 / told["delivered"],
        "last_ms": told["p999_us"] / 1e3,
        "per_s": told["delivered_per_s"],
    }


BROADCAST = Scenario(
    name="broadcast",
    title="One message to everybody",
    question="What does each delivery of a broadcast cost, and when does the last user have it?",
    measures={
        "cpu_us": Measure("CPU per delivery", "us", digits=2),
        "last_ms": Measure("until 99.9 % have it", "ms", digits=0, least=1),
        "per_s": Measure("deliveries per second", "/s", "more", 0),
    },
    run=broadcast,
    full={"clients": 15_000, "room": 15_000, "seconds": 5},
    quick={"clients": 1_000, "room": 1_000, "seconds": 0.5},
    programs=("chat",),
    loads=("chat",),
    says="15,000 users of one process on one core (quick: 1,000).",
)


def echo(contest: Contest) -> Values:
    """Rooms of one: who sends a message gets it back, and sends the next."""
    with chatting(contest) as (load, server):
        talk(load, 0, WARM_UP)
        before = cpu_ns(server.pid)
        told = talk(load, 0, contest.size["seconds"])
        spent = cpu_ns(server.pid) - before
    return {
        "per_s": told["delivered_per_s"],
        "p99_ms": told["p99_us"] / 1e3,
        "cpu_us": spent / 1e3 / told["delivered"],
    }


ECHO = Scenario(
    name="echo",
    title="A message that comes back to its sender",
    question="How many events a second does one core answer?",
    measures={
        "per_s": Measure("echoes per second, one core", "/s", "more", 0),
        "p99_ms": Measure("time until the echo, 99 %", "ms", digits=2, least=0.2),
        "cpu_us": Measure("CPU per echo", "us"),
    },
    run=echo,
    full={"clients": 100, "room": 1, "seconds": 4},
    quick={"clients": 100, "room": 1, "seconds": 0.5},
    programs=("chat",),
    loads=("chat",),
    says="100 clients with one message under way each. Go speaks bare WebSocket here.",
)
