"""What the measurement asks of a program: how long the collector stopped it."""

import gc
import time

_began = 0.0
_found: dict[str, float] = {"collections": 0, "max_ms": 0.0}


def _watch(phase: str, info: dict[str, int]) -> None:
    global _began
    if phase == "start":
        _began = time.perf_counter()
        return
    _found["collections"] += 1
    _found["max_ms"] = max(_found["max_ms"], (time.perf_counter() - _began) * 1e3)


def pauses() -> dict[str, float]:
    """How often the collector ran, and the longest it took."""
    return _found


gc.callbacks.append(_watch)
