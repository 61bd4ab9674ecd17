"""The plot of a run: latency by percentile, and each round where there are rounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hocket.bench.latency import merged
from hocket.errors import UsageError

ENDINGS: Final = (".svg", ".png")
OURS, THEIRS, INK = "#d2491b", "#8c97a5", "#22272e"
STYLE: Final = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "hocket",
}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw a result into a file. Raises UsageError when that cannot be written."""
    pyplot = _pyplot()
    panels = [_percentiles, _rounds] if found["rounds"] else [_percentiles]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4.4 * len(panels), 3.2), squeeze=False, layout="constrained"
    )
    for panel, axis in zip(panels, axes.flat, strict=True):
        panel(found, axis)
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise UsageError(f"--plot: {path}: {error.strerror}") from None
    finally:
        pyplot.close(figure)


def _pyplot() -> Any:
    import matplotlib  # lazy: 0.3 s and 40 MB, for who asked for a plot

    matplotlib.use("Agg")
    matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type] # its names are literals
    from matplotlib import pyplot  # lazy: as above

    return pyplot


def _percentiles(found: Mapping[str, Any], axis: Any) -> None:
    latency = found["latency"]
    axis.set_title(f"Latency, from {latency['from'].partition(' (')[0]}")
    axis.set_ylabel("ms")
    if not latency["count"]:
        return
    # Percentiles as their distance from 100, on a logarithmic axis: each nine is as wide.
    curve = [point for point in merged([latency["histogram"]]).curve() if point[0] < 100]
    axis.plot([100 / (100 - at) for at, _ in curve], [ms for _, ms in curve], color=OURS)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 10, 100, 1000, 10_000], ["0", "50", "90", "99", "99.9", "99.99"])
    axis.minorticks_off()
    axis.set_xlim(left=1)
    axis.set_xlabel("percentile")
    axis.set_ylim(bottom=0)


def _rounds(found: Mapping[str, Any], axis: Any) -> None:
    rounds = [each for each in found["rounds"] if each["received"]]
    numbers = [each["number"] for each in rounds]
    for name, label, color in (
        ("last_ms", "last client", OURS), ("p99_ms", "99 %", THEIRS), ("p50_ms", "50 %", INK)
    ):  # fmt: skip
        axis.plot(numbers, [each[name] for each in rounds], ".-", color=color, label=label)
    axis.set_title("Until so many clients had each round")
    axis.set_xlabel("round")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel("ms")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
