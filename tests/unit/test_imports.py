"""Who may import whom in src/hocket, and how long a module may grow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "hocket"

# A module imports from its own room and from the lines above its own; rooms on one line do not
# import each other.
ORDER = (
    "errors",
    "settings",
    "protocol",
    "broker store",
    "hub",
    "identity",
    "chat notify",
    "providers",
    "transport",
    "contract",
    "app",
    "instance",
    "hocket",  # `from hocket import App`: the public names, as an application imports them
    "serve",
    "bench",
    "versus",
    "client testing cli",
)
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line.split()}

# What would make the protocol room impure: clocks, randomness, the network, the loop, the machine.
IMPURE = {"asyncio", "os", "random", "secrets", "select", "selectors", "socket", "ssl"}
IMPURE |= {"threading", "time", "uvloop"}

MAX_LINES = 600
LAZY = re.compile(r"# lazy: \S")

Import = tuple[ast.stmt | ast.Call, str, bool]  # where, the module named, inside a function


def names_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def import_call(node: ast.AST) -> str | None:
    """The literal name in `import_module("...")` or `__import__("...")`."""
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
        return None
    function = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
    return str(node.args[0].value) if function in ("import_module", "__import__") else None


def imports(tree: ast.AST, package: list[str], inside: bool = False) -> Iterator[Import]:
    """Every import that can happen when the program runs; `package` resolves relative ones."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from hocket import hub` names a room, `from hocket import App` the public names
            rooms = [f"hocket.{a.name}" if a.name in RANK else "hocket" for a in node.names]
            modules = rooms if module == "hocket" else [module]
            yield from ((node, name, inside) for name in modules)
        elif isinstance(node, ast.If) and names_type_checking(node.test):
            yield from imports(ast.Module(node.orelse, []), package, inside)
        else:
            if isinstance(node, ast.Call) and (name := import_call(node)):
                yield node, name, False
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, package, inside or function)


def why_not(importer: str, imported: str) -> str | None:
    """Why a module of the room `importer` may not import the module `imported`."""
    top, _, rest = imported.partition(".")
    if importer == "protocol" and top in IMPURE:
        return f"protocol is pure and may not import {top}"
    if top != "hocket":
        return None
    room = rest.partition(".")[0] or "hocket"
    if room not in RANK:
        return f"{room} has no place in the order"
    if room == importer or RANK[room] < RANK[importer]:
        return None
    return f"{importer} may not import {room}"


def violations(module: str, source: str, package: bool = False) -> list[str]:
    """What is wrong in a module, named with dots, as `line: why`; `package`: an `__init__.py`."""
    parts = module.split(".")
    if module in ("hocket", "hocket.__main__"):
        return []
    if parts[1] not in RANK:
        return [f"1: {parts[1]} has no place in the order"]
    lines = source.splitlines()
    found: list[str] = []
    for node, name, inside in imports(ast.parse(source), parts if package else parts[:-1]):
        if why := why_not(parts[1], name):
            found.append(f"{node.lineno}: {why}")
        statement = lines[node.lineno - 1 : node.end_lineno]
        if inside and not any(LAZY.search(line) for line in statement):
            found.append(f"{node.lineno}: an import inside a function needs `# lazy: <why>`")
    return list(dict.fromkeys(found))


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(SOURCES.rglob("*.py")):
        dotted = path.relative_to(SOURCES.parent).with_suffix("").parts
        yield path, ".".join(dotted).removesuffix(".__init__")


def test_every_module_imports_only_from_its_own_room_and_those_above() -> None:
    found = [
        f"{path.relative_to(SOURCES.parents[1])}:{line}"
        for path, module in modules()
        for line in violations(module, path.read_text(), path.name == "__init__.py")
    ]
    assert found == []


def test_no_module_is_longer_than_600_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path, _ in modules()}
    longest = sorted(lengths, key=lengths.__getitem__, reverse=True)
    print(f"\n{len(lengths)} modules, median {median(lengths.values()):.0f} lines; the longest:")
    for path in longest[:3]:
        print(f"  {lengths[path]:4}  {path.relative_to(SOURCES.parents[1])}")
    assert [path for path in longest if lengths[path] > MAX_LINES] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hocket.settings", "from hocket.errors import UsageError"),
        ("hocket.hub.hub", "import hocket.errors, hocket.store.base"),
        ("hocket.hub.hub", "from hocket import protocol, settings as table"),
        ("hocket.hub.hub", "from hocket.hub.room import Room"),
        ("hocket.hub.hub", "from .room import Room"),
        ("hocket.hub.hub", "from . import room"),
        ("hocket.hub.hub", "from ..protocol import socketio"),
        ("hocket.hub.hub", "import asyncio, os, time"),
        (
            "hocket.hub.hub",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import hocket.app",
        ),
        ("hocket.hub.hub", "import typing\nif typing.TYPE_CHECKING:\n from hocket.app import App"),
        ("hocket.hub.hub", "def f():\n from hocket import protocol  # lazy: only SSE needs it"),
        ("hocket.protocol.http1", "import re, struct\nfrom http import HTTPStatus"),
        ("hocket.serve.pages", "from hocket import App"),
        ("hocket.cli.run", "def f(name):\n return import_module(name)"),
        ("hocket", "from hocket.app import App"),
        ("hocket.__main__", "from hocket.cli import main"),
    ],
)
def test_what_the_order_allows(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("hocket.errors", "import hocket.settings", "1: errors may not import settings"),
        ("hocket.hub.hub", "\nimport hocket.app", "2: hub may not import app"),
        ("hocket.hub.hub", "from hocket.app import App", "1: hub may not import app"),
        ("hocket.hub.hub", "from hocket import errors, app", "1: hub may not import app"),
        ("hocket.hub.hub", "from hocket import App", "1: hub may not import hocket"),
        ("hocket.hub.hub", "import hocket", "1: hub may not import hocket"),
        ("hocket.hub.hub", "from .. import transport", "1: hub may not import transport"),
        ("hocket.hub.hub", "from ..transport.http import X", "1: hub may not import transport"),
        ("hocket.hub.hub", "from hocket.shed import X", "1: shed has no place in the order"),
        ("hocket.shed", "import re", "1: shed has no place in the order"),
        ("hocket.store.sqlite", "import hocket.broker.base", "1: store may not import broker"),
        ("hocket.chat.history", "from hocket.notify import X", "1: chat may not import notify"),
        ("hocket.cli.run", "import hocket.testing", "1: cli may not import testing"),
        ("hocket.app", "import hocket.instance", "1: app may not import instance"),
        ("hocket.hub.hub", "import_module('hocket.app')", "1: hub may not import app"),
        (
            "hocket.hub.hub",
            "if TYPE_CHECKING:\n import hocket.app\nelse:\n import hocket.cli",
            "4: hub may not import cli",
        ),
        (
            "hocket.hub.hub",
            "try:\n import hocket.app\nexcept ImportError:\n pass",
            "2: hub may not import app",
        ),
        (
            "hocket.hub.hub",
            "class A:\n async def f(self):\n  import hocket.app  # lazy: a detour is still a way",
            "3: hub may not import app",
        ),
        *(
            (
                "hocket.protocol.sse",
                f"import {name}",
                f"1: protocol is pure and may not import {top}",
            )
            for name in ("asyncio", "os.path", "random", "select", "socket", "threading", "time")
            for top in [name.partition(".")[0]]
        ),
        (
            "hocket.protocol.sse",
            "def f():\n from time import monotonic  # lazy: no excuse",
            "2: protocol is pure and may not import time",
        ),
    ],
)
def test_what_the_order_forbids(module: str, source: str, found: str) -> None:
    assert violations(module, source) == [found]


@pytest.mark.parametrize("comment", ["", "  # lazy", "  # lazy: ", "  # later: slow"])
def test_an_import_inside_a_function_gives_its_reason(comment: str) -> None:
    reason_missing = ["2: an import inside a function needs `# lazy: <why>`"]
    assert violations("hocket.hub.hub", f"def f():\n import json{comment}\n") == reason_missing
    assert (
        violations("hocket.hub.hub", f"async def f():\n from re import X{comment}\n")
        == reason_missing
    )


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert violations("hocket.hub", "from .room import Room\nfrom ..errors import X", True) == []
    assert violations("hocket.hub", "from ..app import App", True) == ["1: hub may not import app"]
