"""`make docs`: writes the pages that come from the code, and fills in included examples.

A test fails when a page is not up to date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import hocket
from hocket.identity.keys import SCOPES
from hocket.instance.metrics import METRICS
from hocket.serve.api.endpoint import Endpoint
from hocket.serve.api.openapi import document, problems_of
from hocket.serve.api.problems import KINDS
from hocket.serve.api.table import TABLE
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


def rest_page() -> str:
    lines = [
        "# REST API",
        "",
        "Made from `src/hocket/serve/api/` by `make docs`. `hocket serve --data DIR` has it; an",
        "app of your own gets it by `hocket.add_api(app)`. `GET /v1/openapi.json` gives all of it",
        "as OpenAPI 3.1; [how to notify over REST](../howto/rest.md) begins at the beginning.",
        "",
        "Bodies are JSON. Servers show an API key (`Authorization: Bearer hk_...`), users their",
        "token, for their own things. Lists come in pages: `limit` items (100 unless told",
        "otherwise, at most 1,000), and `next`, to be given as `after` for the next page; null:",
        "this is the last. Times are seconds since 1970. Names have 1-200 characters; in a path",
        "each is percent-encoded as a whole: `a/b` is `a%2Fb`.",
        "",
        "| scope of a key | it may |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in SCOPES.items()),
        "",
    ]
    components = document()["components"]["schemas"]
    for endpoint in TABLE:
        lines += _endpoint(endpoint)
    lines += ["## GET /v1/events", "", document()["paths"]["/v1/events"]["get"]["summary"], ""]
    lines += ["With the user's own token.", "", "## Types", ""]
    for name, schema in sorted(components.items()):
        if name != "ProblemDetails":
            lines += _type(name, schema)
    lines += [
        "## Problems",
        "",
        "Errors are problem details (RFC 9457, `application/problem+json`): `type`, `title`,",
        "`status`, `detail` for people, and `code` for machines:",
        "",
        "| code | status | meaning |",
        "|---|---|---|",
        *(f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in KINDS.items()),
    ]
    return "\n".join([*lines, ""])


def _endpoint(endpoint: Endpoint) -> list[str]:
    keys = " or ".join(f"`{scope}`" for scope in endpoint.scopes)
    who = [f"an API key with {keys}"] if keys else []
    who += ["a user, for their own things"] if endpoint.users else []
    lines = [f"## {endpoint.method} {endpoint.path}", "", endpoint.summary, ""]
    lines += [f"- for: {'; '.join(who)}"]
    names = [f"`{field}`" for field in endpoint.query.__struct_fields__]
    lines += [f"- query: {', '.join(names)}"] if names else []
    lines += [f"- header: `{name}`: {text}" for name, text in endpoint.headers.items()]
    if endpoint.body is not None:
        kept = ", or nothing" if endpoint.optional else ""
        lines += [f"- body: {_link(endpoint.body)}{kept}; at most {endpoint.limit:,} bytes"]
    for status, kind in endpoint.answers.items():
        lines += [f"- {status}: {_link(kind) if kind else 'nothing'}"]
    special = [f"`{code}`" for code in problems_of(endpoint) if code in endpoint.problems]
    lines += [f"- problems of its own: {', '.join(special)}"] if special else []
    return [*lines, ""]


def _link(kind: Any) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _type(name: str, schema: dict[str, Any]) -> list[str]:
    lines = [f"### {name}", ""]
    text = " ".join(schema.get("description", "").split())
    lines += [text, ""] if text else []
    lines += ["| field | what | |", "|---|---|---|"]
    needed = schema.get("required", [])
    for field, its in schema.get("properties", {}).items():
        default = "needed" if field in needed else f"`{json.dumps(its.get('default'))}`"
        lines.append(f"| `{field}` | {_what(its)} | {default} |")
    return [*lines, ""]


def _what(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_what(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        kind = f"array of {_what(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[bound]:,}"
        for bound, sign in (
            ("minimum", "from"),
            ("maximum", "up to"),
            ("maxLength", "length up to"),
            ("maxItems", "items up to"),
        )
        if bound in schema
    ]
    return f"{kind}, {', '.join(bounds)}" if bounds else str(kind)


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
        if inspect.isfunction(thing):
            parts += [f"`{name}{_signature(thing)}`", "", _doc(thing), ""]
            continue
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
    "runner", "mounts", "notifier", "providers", "templates", "explain", "settings", "origins",
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
        ROOT / "docs/reference/rest.md": rest_page(),
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
