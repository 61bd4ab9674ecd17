"""Pictures of results, for a light and a dark page alike: on white, in two colours.

matplotlib is imported when there is something to draw: measuring needs none of it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.scenario import Row, Run, Scenario, Size

OURS, THEIRS, INK = "#d2491b", "#8c97a5", "#22272e"
WIDTH, PANEL, BAR = 4.2, 1.1, 0.3  # inches: a panel, its frame, and each of its bars
MOST_ACROSS = 2
STYLE = {
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
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "svg.hashsalt": "hocket",  # the same picture gives the same file
}


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def bars(
    scenario: Scenario,
    size: Size,
    names: Mapping[str, str],
    runs: Mapping[str, Sequence[Run]],
    path: Path,
) -> bool:
    """A panel for each row that is to be drawn, a bar for each column; tells whether there was
    anything to draw.
    """
    panels = {
        row: found
        for measure, row in scenario.rows(size).items()
        if row.drawn and (found := _figures(runs, names, measure))
    }
    if not panels:
        return False
    pyplot = _pyplot()
    across = min(MOST_ACROSS, len(panels))
    down = -(-len(panels) // across)
    height = PANEL + BAR * max(map(len, panels.values()))
    figure_, axes = pyplot.subplots(
        down, across, figsize=(WIDTH * across, height * down), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (row, found) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, row, found)
    _save(figure_, path)
    return True


def _figures(
    runs: Mapping[str, Sequence[Run]], names: Mapping[str, str], measure: str
) -> dict[str, Figure]:
    found = {names[key]: figure(runs[key], measure) for key in names if runs.get(key)}
    return {name: value for name, value in found.items() if value is not None}


def _panel(axis: Any, row: Row, found: Mapping[str, Figure]) -> None:
    values = list(found.values())
    spread = [
        [value.median - value.least for value in values],
        [value.most - value.median for value in values],
    ]
    colours = [OURS if name.startswith("Hocket") else THEIRS for name in found]
    medians = [value.median for value in values]
    drawn = axis.barh(list(found), medians, xerr=spread, color=colours, ecolor=INK, capsize=2)
    axis.bar_label(drawn, [f" {row.form.format(median)}" for median in medians], padding=2)
    axis.invert_yaxis()  # the first column on top
    axis.margins(x=0.2)
    axis.set_title(row.title)


def memory_over_time(
    scenario: Scenario,
    size: Size,
    names: Mapping[str, str],
    runs: Mapping[str, Sequence[Run]],
    path: Path,
) -> bool:
    """A line for each run: anonymous memory in MiB over seconds."""
    pyplot = _pyplot()
    figure_, axis = pyplot.subplots(figsize=(2 * WIDTH, 2.5), layout="constrained")
    for key, of_column in runs.items():
        for number, run in enumerate(of_column, 1):
            seconds, mebibytes = zip(*run["memory"], strict=True)
            axis.plot(seconds, mebibytes, color=OURS, label=f"{names[key]}, run {number}")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("seconds")
    axis.set_title("anonymous memory, MiB")
    _save(figure_, path)
    return True


def _pyplot() -> Any:
    import matplotlib as mpl  # lazy: measuring needs none of it

    mpl.use("svg")
    mpl.rcParams.update(STYLE)
    from matplotlib import pyplot

    return pyplot


def _save(drawn: Any, path: Path) -> None:
    drawn.savefig(path, facecolor="white", metadata={"Date": None})
    _pyplot().close(drawn)
    # matplotlib ends lines with blanks, which whoever commits the picture would have to allow
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
