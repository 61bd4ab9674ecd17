"""What the conductor and the processes of the load generator say to each other. Times are
nanoseconds of the machine's monotonic clock; `latency` is an encoded histogram.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all kinds."""


class Connect(Message, frozen=True):
    """To a process: bring your clients in, from `at` on."""

    at: int


class Send(Message, frozen=True):
    """To a process: round `number` begins at `at`."""

    number: int
    at: int


class Settle(Message, frozen=True):
    """To a process: say what there is of round `number`, whole or not."""

    number: int


class Run(Message, frozen=True):
    """To a process: do what the scenario does between two times."""

    at: int
    until: int


class Finish(Message, frozen=True):
    """To a process: report, and end."""


class Progress(Message, frozen=True):
    """From a process, several times a second."""

    ready: int
    failed: int
    lost: int
    sent: int
    received: int


class Connected(Message, frozen=True):
    """From a process: nobody is on the way in any more."""

    ready: int
    failed: int
    last: int  # when the last one got in
    latency: str


class Round(Message, frozen=True):
    """From a process: all that its clients got of a round."""

    number: int
    received: int
    missing: int
    last: int  # when the last one got it
    latency: str


class Ran(Message, frozen=True):
    """From a process: what was to be done is done."""


class Report(Message, frozen=True, kw_only=True):
    """From a process, at its end."""

    live: int
    sent: int = 0
    received: int = 0
    last: int = 0  # when the last of them came
    latency: str = ""
    lag: str = ""  # of the load generator behind its own schedule
    duplicated: int = 0
    unexpected: int = 0
    unsent: int = 0
    skipped: int = 0
    failed: int = 0
    failures: dict[str, int] = {}
    losses: dict[str, int] = {}
    cpu: float = 0.0  # seconds
    memory: int = 0  # bytes (PSS)


AnyMessage = Connect | Send | Settle | Run | Finish | Progress | Connected | Round | Ran | Report

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AnyMessage).decode
