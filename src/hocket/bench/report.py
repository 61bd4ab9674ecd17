"""The result of a run for people: what stands on stdout in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

SHOWN = 10  # reasons; all are in the JSON
WHAT = {
    "broadcast": "one message to all {connections:,} clients",
    "rooms": "one message in each of {rooms:,} rooms, {connections:,} clients in all",
    "echo": "events that are answered, {connections:,} clients",
    "storm": "{connections:,} clients at once",
    "churn": "{rate:g} of {connections:,} clients a second replaced",
}


def summary(found: Mapping[str, Any]) -> str:
    """Of a result, a dozen lines."""
    settings = found["settings"]
    title = WHAT[settings["scenario"]].format(**settings)
    lines = [f"{settings['scenario']}: {title}", *_connect(found["connect"])]
    lines += _rounds(found) if found["rounds"] else _run(found)
    lines += _latency(found["latency"])
    lines += _generator(found)
    lines += [f"! {problem}" for problem in found["problems"]]
    for what, counts in (("tries", found["connect"]["failed_tries"]), ("lost", found["lost"])):
        lines += [f"  {what}: {count:,} {why}" for why, count in [*counts.items()][:SHOWN]]
    if found["interrupted"]:
        lines.append("! interrupted: these are partial results")
    return "\n".join(lines)


def _connect(connect: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"  connected    {connect['ready']:,} of {connect['wanted']:,} in {connect['seconds']:.2f} "
        f"s: {connect['per_second']:,.0f} a second"
    )
    latency = connect["latency"]
    if latency["count"]:
        yield (
            f"  handshakes   p50 {latency['p50_ms']:,.1f} ms, p99 {latency['p99_ms']:,.1f} ms, "
            f"last {latency['max_ms']:,.1f} ms, from {connect['from']}"
        )


def _rounds(found: Mapping[str, Any]) -> Iterator[str]:
    whole = [each for each in found["rounds"] if each["received"]]
    messages = found["messages"]
    yield (
        f"  rounds       {len(found['rounds'])}, {messages['received']:,} messages arrived: "
        f"{messages['per_second']:,.0f} a second while rounds lasted"
    )
    for name, what in (("p50_ms", "half"), ("p99_ms", "99 %"), ("last_ms", "the last")):
        values = [each[name] for each in whole]
        if values:
            yield (
                f"  to {what:10}median {median(values):,.1f} ms, from {min(values):,.1f} to "
                f"{max(values):,.1f} ms"
            )


def _run(found: Mapping[str, Any]) -> Iterator[str]:
    messages, scenario = found["messages"], found["settings"]["scenario"]
    if scenario == "storm":
        return
    what = "clients replaced" if scenario == "churn" else "answers"
    yield (
        f"  {what:17}{messages['received']:,} of {messages['sent']:,} in "
        f"{messages['seconds']:.2f} s: {messages['per_second']:,.0f} a second"
    )


def _latency(latency: Mapping[str, Any]) -> Iterator[str]:
    if not latency["count"]:
        return
    yield (
        f"  latency      p50 {latency['p50_ms']:,.2f}, p90 {latency['p90_ms']:,.2f}, p99 "
        f"{latency['p99_ms']:,.2f}, p99.9 {latency['p999_ms']:,.2f}, max {latency['max_ms']:,.2f} "
        "ms"
    )
    yield f"               counted from {latency['from']}"


def _generator(found: Mapping[str, Any]) -> Iterator[str]:
    processes, lag = found["processes"], found["lag"]
    memory = sum(each["pss_bytes"] for each in processes)
    cpu = sum(each["cpu_s"] for each in processes)
    late = f", late by {lag['p99_ms']:,.2f} ms (p99)" if lag["count"] else ""
    yield (
        f"  generator    {len(processes)} processes, {cpu:,.1f} s of CPU, {memory / 1e6:,.0f} MB"
        f"{late}"
    )
