"""What has to be on disk, and whose code it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from hocket.versus.making import HERE
from hocket.versus.scenario import Contest, Measure, Scenario, Values

MIB = 2**20
ROOTS = {
    "python": ["fastapi", "python-socketio", "uvicorn", "uvloop", "httptools", "websockets"],
    "hocket": ["hocket"],
}


def deepest(edges: Mapping[str, set[str]], root: str) -> int:
    """How far from the root its farthest package is, on the shortest way."""
    depth, waiting = {root: 0}, deque([root])
    while waiting:
        name = waiting.popleft()
        for other in edges.get(name, ()):
            if other not in depth:
                depth[other] = depth[name] + 1
                waiting.append(other)
    return max(depth.values())


def go(contest: Contest) -> Values:
    binary = contest.program("chat")[0]
    told = subprocess.check_output(["go", "version", "-m", binary], text=True)
    used = set(re.findall(r"^\tdep\t(\S+)", told, re.MULTILINE))
    graph = subprocess.check_output(
        ["go", "mod", "graph"], text=True, cwd=contest.maker.sources("go")
    )
    edges: dict[str, set[str]] = {}
    for line in graph.splitlines():
        one, other = (word.partition("@")[0] for word in line.split())
        if other in used:
            edges.setdefault(one, set()).add(other)
    found = os.stat(binary).st_size
    return {"mib": found / MIB, "own_mib": found / MIB, "packages": len(used),
            "depth": deepest(edges, "versus")}  # fmt: skip


def node(contest: Contest) -> Values:
    contest.program("chat")
    folder = contest.maker.folder("node")
    lock = json.loads((folder / "package-lock.json").read_text())["packages"]
    kept = {name: each for name, each in lock.items() if not each.get("dev")}
    edges = {
        name.rpartition("node_modules/")[2]: set(each.get("dependencies", {}))
        for name, each in kept.items()
    }
    wanted = {"express", "socket.io", "bufferutil"}
    edges[""] = wanted
    reached = _reached(edges)
    packages = [name for name in kept if name and name.rpartition("node_modules/")[2] in reached]
    own = sum(_bytes(folder / name) for name in packages)
    program = os.stat(os.path.realpath(shutil.which("node") or "node")).st_size
    return {"mib": (program + _libnode() + own) / MIB, "own_mib": own / MIB,
            "packages": len(packages), "depth": deepest(edges, "")}  # fmt: skip


def _reached(edges: Mapping[str, set[str]]) -> set[str]:
    found, waiting = {""}, [""]
    for name in waiting:  # grows as it goes
        new = edges.get(name, set()) - found
        found |= new
        waiting += new
    return found


def _libnode() -> int:
    """Distributions keep most of Node.js in a library of its own."""
    program = shutil.which("node") or "node"
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    found = re.search(r"=> (\S*libnode\S*)", told)
    return os.stat(found[1]).st_size if found else 0


def _bytes(folder: Path) -> int:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    nested = folder / "node_modules"  # packages of their own, counted there
    return sum(path.stat().st_size for path in files if nested not in path.parents)


def python(contest: Contest) -> Values:
    interpreter = sys.executable if contest.key == "hocket" else str(contest.maker.interpreter())
    script = HERE / "peers/python/footprint.py"
    told = json.loads(
        subprocess.check_output([interpreter, str(script), *ROOTS[contest.key]], text=True)
    )
    own = told["bytes"] - told["runtime"]
    found = {"mib": told["bytes"] / MIB, "own_mib": own / MIB}
    return found | {"packages": told["packages"], "depth": told["depth"]}


WAYS = {"go": go, "node": node, "python": python, "hocket": python}

SIZE = Scenario(
    name="size",
    title="Size on disk, and dependencies",
    question="What has to be there for the chat to run, and how many packages of others are in it?",
    measures={
        "mib": Measure("everything the chat needs: program, runtime, packages", "MiB"),
        "own_mib": Measure("of that what is deployed besides the runtime", "MiB"),
        "packages": Measure("packages of others", "", digits=0),
        "depth": Measure("depth of their dependencies", "", digits=0),
    },
    run=lambda contest: WAYS[contest.key](contest),
    repeats=1,
    quick={},
    programs=("chat",),
    says="A Go program has its runtime in it. The C library and OpenSSL of the system are not "
    "counted for anybody. Hocket counts itself as a package.",
)
