"""`hocket bench` from its plan to its result."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from hocket.bench.conductor import Conductor
from hocket.bench.crew import Crew
from hocket.bench.plan import Plan
from hocket.bench.probe import Probe
from hocket.bench.progress import choose
from hocket.bench.result import result
from hocket.instance.limits import open_files


def run(plan: Plan) -> dict[str, Any]:
    """Measure. Raises UsageError for what a person can mend."""
    open_files()
    Probe(plan).ask()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if sys.stdout is not None:
        sys.stdout.flush()  # or each fork would have it to say
    crew = Crew(plan)
    crew.start()
    try:
        conductor = Conductor(plan, crew, choose())
        conductor.lead()
        return result(conductor, started)
    finally:
        crew.end()
