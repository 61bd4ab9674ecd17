"""Bars for the page: one small picture for each measure, in the page's own colours.

matplotlib writes colours that stand for others; in the page these become its variables, so one
picture serves light and dark. It is imported when there is something to draw.
"""

from __future__ import annotations

import importlib.util
import io
import re
from typing import Any

from hocket.versus.cells import Row, number

WIDTH, FRAME, BAR = 4.2, 0.55, 0.27  # inches
INK = "#010101"
STANDS_FOR = {INK: "ink", "#010102": "faint"}
COLOURS = {"go": "#010201", "node": "#010301", "ts": "#010301", "python": "#010401"}
COLOURS |= {"hocket": "#010501", "c": "#010601", "centrifuge": "#010601", "rust": "#010601"}
STANDS_FOR |= {COLOURS[key]: key for key in ("go", "node", "python", "hocket", "c")}
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.bottom": False,
    "axes.edgecolor": "#010102",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",  # text stays text: it can be searched, and it takes the page's colour
    "svg.hashsalt": "hocket",  # the same picture gives the same bytes
}


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def bars(row: Row, names: dict[str, str]) -> str:
    """SVG to stand inside a page."""
    pyplot = _pyplot()
    keys = [key for key in names if key in row.cells]
    figure, axis = pyplot.subplots(figsize=(WIDTH, FRAME + BAR * len(keys)), layout="constrained")
    _draw(axis, row, [names[key] for key in keys], keys)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return _for_page(out.getvalue(), row)


def _draw(axis: Any, row: Row, names: list[str], keys: list[str]) -> None:
    cells = [row.cells[key] for key in keys]
    medians = [cell.median for cell in cells]
    spread = [
        [cell.median - cell.least for cell in cells],
        [cell.most - cell.median for cell in cells],
    ]
    look: dict[str, Any] = {"height": 0.72, "color": [COLOURS[key] for key in keys]}
    if any(map(any, spread)):  # given here, so that the figure stands behind its spread
        look |= {"xerr": spread, "ecolor": INK, "capsize": 2, "error_kw": {"elinewidth": 0.8}}
    drawn = axis.barh(names, medians, **look)
    axis.bar_label(drawn, [f" {number(median, row.measure)}" for median in medians], padding=3)
    axis.invert_yaxis()  # the first column on top
    axis.margins(x=0.22)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_visible(False)


def _for_page(svg: str, row: Row) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, name in STANDS_FOR.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r'id="(figure|axes|patch|text|line2d|LineCollection|matplotlib)[^"]*"', "", svg)
    svg = re.sub(r"\s+\n", "\n", svg)
    label = f'role="img" aria-label="{row.measure.title.replace(chr(34), "")}"'
    return re.sub(r'width="[^"]*pt" height="[^"]*pt"|height="[^"]*pt" width="[^"]*pt"', label, svg)


def _pyplot() -> Any:
    import matplotlib as mpl  # lazy: only a page needs it

    mpl.use("svg")
    for name, value in STYLE.items():
        mpl.rcParams[name] = value  # type: ignore[index]
    from matplotlib import pyplot  # lazy: as above

    return pyplot
