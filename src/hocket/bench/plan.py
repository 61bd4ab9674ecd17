"""What is to be measured, and how: everything that was asked for, checked."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from hocket.bench.target import PER_SOURCE, Target
from hocket.errors import UsageError
from hocket.instance.limits import FEW, open_files

NEEDS_EVENTS: Final = frozenset({"broadcast", "rooms"})  # what a plain WebSocket server has not
MOST_ROUNDS: Final = 100_000
ON_THE_WAY: Final = 8  # of so many open files one may be for a client on its way
SECOND: Final = 1_000_000_000  # nanoseconds


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process of the load generator must know. Times are in seconds."""

    target: Target
    scenario: str = "broadcast"
    connections: int = 1000
    processes: int = 1
    transport: str = "websocket"
    raw: bool = False
    path: str = "/socket.io/"
    namespace: str = "/"
    auth: dict[str, Any] = {}
    rooms: int = 1000
    rate: float = 0.0  # a second, all processes together; 0: not given
    seconds: float = 10.0
    rounds: int = 10
    size: int = 100  # bytes of a message
    window: int = 1000  # handshakes under way, all processes together
    timeout: float = 30.0
    retries: int = 5
    insecure: bool = False  # take any certificate

    def share(self, number: int) -> range:
        """The numbers of the clients of a process."""
        edges = [self.connections * part // self.processes for part in (number, number + 1)]
        return range(*edges)

    @property
    def largest_share(self) -> int:
        return -(-self.connections // self.processes)

    @property
    def window_each(self) -> int:
        """Handshakes under way in each process. A storm has no window: all come at once."""
        if self.scenario == "storm":
            return self.largest_share
        return max(1, min(self.window // self.processes, open_files() // ON_THE_WAY))

    @property
    def timeout_ns(self) -> int:
        return int(self.timeout * SECOND)


def capacity(plan: Plan) -> int:
    """Clients that one process can be. In a storm nobody comes late; in any other scenario some may
    be on their way beside those that are there.
    """
    files = open_files()
    late = 0 if plan.scenario == "storm" else min(plan.window, files // ON_THE_WAY)
    return max(1, files - FEW - late)


def processes_for(plan: Plan) -> int:
    """One a core, or as many as the limit of open files asks for."""
    cores = len(os.sched_getaffinity(0))
    needed = -(-plan.connections // capacity(plan))
    return max(needed, min(cores, plan.connections))


def checked(plan: Plan, processes: int) -> Plan:
    """The plan for so many processes. Raises UsageError for what cannot be done, with what would
    help.
    """
    plan = msgspec.structs.replace(plan, processes=processes)
    _check_scenario(plan)
    _check_files(plan)
    _check_ports(plan)
    return plan


def _check_scenario(plan: Plan) -> None:
    if plan.raw and plan.scenario in NEEDS_EVENTS:
        raise UsageError(
            f"--scenario {plan.scenario} needs a Socket.IO server; with --raw there are echo, "
            "storm and churn"
        )
    if plan.raw and plan.transport != "websocket":
        raise UsageError("--raw knows no --transport: it is a plain WebSocket")
    if plan.scenario == "churn" and not plan.rate:
        raise UsageError("--scenario churn needs --rate, the clients to replace a second")
    if plan.scenario in NEEDS_EVENTS and plan.rate * plan.seconds > MOST_ROUNDS:
        raise UsageError(f"that are over {MOST_ROUNDS:,} rounds: a lower --rate or fewer --seconds")
    if plan.scenario == "rooms" and plan.rooms > plan.connections:
        raise UsageError(f"{plan.rooms} rooms need as many --connections at least")


def _check_files(plan: Plan) -> None:
    most = capacity(plan)
    if plan.largest_share > most:
        needed = -(-plan.connections // most)
        raise UsageError(
            f"{plan.connections} clients need --processes {needed} or more: one process may open "
            f"{open_files()} files (ulimit -Hn raises it)"
        )


def _check_ports(plan: Plan) -> None:
    one_source = plan.target.is_loopback and ":" in plan.target.address
    if one_source and plan.connections > PER_SOURCE:
        raise UsageError(
            f"over {plan.target.address} there is one source address, enough for {PER_SOURCE} "
            "clients: use 127.0.0.1"
        )
