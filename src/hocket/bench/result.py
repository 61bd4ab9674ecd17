"""The result of a run, as the JSON output has it."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from hocket import __version__
from hocket.bench.conductor import Conductor
from hocket.bench.latency import Latency, merged
from hocket.bench.plan import Plan

FORMAT: Final = 1  # of the JSON; goes up when a name changes its meaning
COUNTED: Final = ("sent", "received", "duplicated", "unexpected", "unsent", "skipped")
SCHEDULED: Final = "when each was to be sent"
SERVICE: Final = "when each was sent (closed loop: service times)"
EACH: Final = "when each was started"
IN_ALL: Final = "when all were to start"


def result(conductor: Conductor, started: str) -> dict[str, Any]:
    """Everything that is known, raw histograms included."""
    plan, reports = conductor.plan, conductor.reports
    latency = _latency(conductor)
    found: dict[str, Any] = {
        "format": FORMAT,
        "started": started,
        "versions": {"hocket": __version__, "python": platform.python_version()},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "settings": {**msgspec.to_builtins(plan), "target": plan.target.url, "auth": "not kept"},
        "interrupted": conductor.is_interrupted,
        "connect": _connect(conductor),
        "messages": _messages(conductor),
        "latency": {"from": _from(plan), **latency.summary()},
        "lag": merged(report.lag for report in reports.values()).summary(),
        "rounds": [each.summary() for each in conductor.rounds],
        "lost": _counted(report.losses for report in reports.values()),
        "processes": [
            {"clients": r.live, "cpu_s": round(r.cpu, 3), "pss_bytes": r.memory}
            for _, r in sorted(reports.items())
        ],
    }
    return {**found, "problems": _problems(conductor, found)}


def _from(plan: Plan) -> str:
    if plan.scenario == "storm":
        return IN_ALL
    return SERVICE if plan.scenario == "echo" and not plan.rate else SCHEDULED


def _latency(conductor: Conductor) -> Latency:
    if conductor.plan.scenario == "storm":
        return merged(each.latency for each in conductor.connected.values())
    if conductor.rounds:
        return conductor.latency
    return merged(report.latency for report in conductor.reports.values())


def _connect(conductor: Conductor) -> dict[str, Any]:
    connected, reports = conductor.connected, conductor.reports
    seconds = conductor.connect_seconds
    ready = sum(each.ready for each in connected.values())
    return {
        "wanted": conductor.plan.connections,
        "ready": ready,
        "failed": sum(each.failed for each in (reports or connected).values()),
        "seconds": round(seconds, 4),
        "per_second": round(ready / seconds, 1) if seconds else 0.0,
        "failed_tries": _counted(report.failures for report in reports.values()),
        "from": IN_ALL if conductor.plan.scenario == "storm" else EACH,
        "latency": merged(each.latency for each in connected.values()).summary(),
    }


def _messages(conductor: Conductor) -> dict[str, Any]:
    reports, seconds = conductor.reports.values(), conductor.run_seconds
    found: dict[str, Any] = {
        name: sum(getattr(report, name) for report in reports) for name in COUNTED
    }
    if conductor.rounds:
        found["missing"] = sum(each.missing for each in conductor.rounds)
    else:
        found["missing"] = max(0, found["sent"] - found["received"] - _failed_late(conductor))
    found["seconds"] = round(seconds, 4)
    found["per_second"] = round(found["received"] / seconds, 1) if seconds else 0.0
    return found


def _failed_late(conductor: Conductor) -> int:
    """Of the clients that came in the places of others: those that gave up."""
    late = sum(each.failed for each in conductor.reports.values())
    return max(0, late - sum(each.failed for each in conductor.connected.values()))


def _counted(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def _problems(conductor: Conductor, found: Mapping[str, Any]) -> list[str]:
    """What must not be, a line each."""
    lost, messages = found["lost"], found["messages"]
    silent = conductor.plan.processes - len(conductor.reports)
    missing = "messages did not arrive"
    if conductor.plan.scenario == "churn":
        missing = "clients that were to come in the place of others are not in"
    said = {
        "did not get in": found["connect"]["failed"],
        "were lost": sum(lost.values()),
        missing: 0 if conductor.is_interrupted else messages["missing"],
        "messages arrived twice or out of order": messages["duplicated"],
        "messages could not be sent: the server did not read": messages["unsent"],
        "due ones were left out: the load generator, or the server, is behind": messages["skipped"],
        "processes of the load generator died": silent,
    }
    return [f"{count:,} {what}" for what, count in said.items() if count > 0]
