"""`make docs`: writes the pages that come from the code, and fills in included examples.

A test fails when a page is not up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import hocket
from hocket.instance.metrics import METRICS
from hocket.settings import PLANNED, rows

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r"<!-- include: (\S+) -->\n(?:\n```\w*\n.*?\n```\n)?", re.DOTALL)


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Made from `src/hocket/settings.py` by `make docs`.",
        "",
        "Each can be given as a flag of `hocket serve` and `hocket run`, as a variable, in",
        "`hocket.toml` of the working folder (`ping_interval = 20.0`), or as an argument of `App`;",
        "the first of these that is there counts. Arguments of `app.run` count as flags.",
        "",
        "| name | flag | variable | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for row in rows():
        flag = "-" if row.secret else f"`{row.flag}`"
        default = "none" if row.default in (None, "") else f"{row.default} {row.unit}".strip()
        lines.append(f"| `{row.name}` | {flag} | `{row.variable}` | {default} | {row.help} |")
    planned = ", ".join(f"`{name}`" for name in PLANNED)
    lines += ["", f"Not available yet, and refused with a clear line: {planned}.", ""]
    return "\n".join(lines)


def metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "Made from `src/hocket/instance/metrics.py` by `make docs`.",
        "",
        "`GET /metrics` answers in Prometheus' text format; who may read it says the setting",
        "`metrics`: unless told otherwise only clients on this machine that no proxy brought. A",
        "route of the app at the same path comes first. Counters end in `_total`. Prometheus' own",
        "`process_*` (CPU, memory, open files, start) are there too.",
        "",
        "| name | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in METRICS:
        ending = "_total" if metric.kind == "counter" else ""
        labels = ", ".join(metric.labels)
        lines.append(
            f"| `hocket_{metric.name}{ending}` | {metric.kind} | {labels} | {metric.help} |"
        )
    return "\n".join([*lines, ""])


def api_page() -> str:
    parts = [
        "# API",
        "",
        "Made from the docstrings by `make docs`. Everything here is imported from `hocket`.",
        "",
    ]
    for name in hocket.__all__:
        thing = getattr(hocket, name)
        parts += [f"## {name}", ""]
        if not inspect.isclass(thing):
            parts += ["A handler that returns it leaves the client's ack open.", ""]
            continue
        parts += [_doc(thing), ""]
        for member, value in sorted(vars(thing).items()):
            internal = member.startswith("_") or {member, f"{name}.{member}"} & INTERNAL
            if not internal and inspect.getdoc(value):
                parts += [f"### {name}.{member}{_signature(value)}", "", _doc(value), ""]
    return "\n".join(parts)


# Public in Python's sense, for other rooms of the house; not for users.
INTERNAL = {
    "all_rooms", "room_names", "connection", "end", "joined", "nsp", "calls", "state", "deliver",
    "admit", "App.report", "startup", "shutdown", "given", "hub", "static", "dynamic", "routes",
    "runner", "mounts", "notifier", "providers", "templates",
}  # fmt: skip


def _doc(value: Any) -> str:
    return re.sub(
        r"\n(Args|Returns|Raises|Attributes|Source):", r"\n\n**\1:**", inspect.getdoc(value) or ""
    )


def _signature(value: Any) -> str:
    if not inspect.isfunction(value):
        return ""
    text = str(inspect.signature(value))
    return re.sub(r"'([^']+)'", r"\1", re.sub(r"\(self(, )?", "(", text))


def included(page: str) -> str:
    """`page` with every `<!-- include: path -->` followed by that file."""

    def fill(match: re.Match[str]) -> str:
        path = match[1]
        code = (ROOT / path).read_text().strip()
        language = {"py": "python", "ts": "ts"}[path.rpartition(".")[2]]
        return f"<!-- include: {path} -->\n\n```{language}\n{code}\n```\n"

    return INCLUDE.sub(fill, page)


def pages() -> dict[Path, str]:
    """Every page that is made or filled in, as it should be."""
    made = {
        ROOT / "docs/reference/settings.md": settings_page(),
        ROOT / "docs/reference/api.md": api_page(),
        ROOT / "docs/reference/metrics.md": metrics_page(),
    }
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text()
        if INCLUDE.search(text):
            made[page] = included(text)
    return made


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text)
        print(page.relative_to(ROOT), file=sys.stderr)
