"""What `benchmarks/` has already: processes on a core, what they cost, and building once.

The one place that knows where these are.
"""

from benchmarks.asking import get_json
from benchmarks.building import LOADS as SHARED_LOADS
from benchmarks.building import MissingError, files, once
from benchmarks.machine import GoneError, cpu_ns, memory, most_memory
from benchmarks.machine import facts as machine_facts
from benchmarks.processes import (
    LOAD_CORE,
    SERVER_CORE,
    START_TIMEOUT,
    FailedError,
    Load,
    Running,
    loading,
    process,
    started,
)
from benchmarks.watching import OtherLoad

__all__ = [
    "LOAD_CORE",
    "SERVER_CORE",
    "SHARED_LOADS",
    "START_TIMEOUT",
    "FailedError",
    "GoneError",
    "Load",
    "MissingError",
    "OtherLoad",
    "Running",
    "cpu_ns",
    "files",
    "get_json",
    "loading",
    "machine_facts",
    "memory",
    "most_memory",
    "once",
    "process",
    "started",
]
