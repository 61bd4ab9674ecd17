"""Ten mistakes, and when each tool chain finds them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hocket.versus.making import HERE, Maker, MissingError, need

BUILD, START, REQUEST, NEVER = "build", "start", "first request", "never"
WHEN = (BUILD, START, REQUEST, NEVER)
TSC: tuple[str, ...] = (
    "--strict",
    "--noUncheckedIndexedAccess",
    "--target",
    "es2023",
    "--module",
    "nodenext",
)
TSC += ("--moduleResolution", "nodenext", "--types", "node", "--skipLibCheck")
Mistake = Mapping[str, Any]


def table() -> list[Mistake]:
    """The mistakes: a title each, and a program in each language."""
    found: list[Mistake] = tomllib.loads((HERE / "types/mistakes.toml").read_text())["mistake"]
    return found


def _fresh(maker: Maker, name: str) -> Path:
    folder = maker.cache / f"types-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _said(command: Sequence[str | Path], where: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=where, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout + done.stderr


def _life(command: Sequence[str | Path], where: Path) -> str:
    """How far a program comes that no checker has stopped."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, check=False, timeout=60)
    if not done.returncode:
        return NEVER
    return REQUEST if done.stdout.startswith("started") else START


def _judged(refused: set[int], run: Callable[[int], str]) -> list[str]:
    return [BUILD if at in refused else run(at) for at in range(len(table()))]


def _numbers(pattern: str, said: str) -> set[int]:
    return {int(number) for number in re.findall(pattern, said, re.MULTILINE)}


def go(maker: Maker) -> list[str]:
    need("go")
    folder = _fresh(maker, "go")
    (folder / "go.mod").write_text("module mistakes\n\ngo 1.26\n")
    for at, mistake in enumerate(table()):
        (folder / f"m{at}").mkdir()
        body = mistake["go"]
        ending = '\nfunc main() {\n\tfmt.Println("started")\n\trequest()\n}\n'
        (folder / f"m{at}/main.go").write_text(f'package main\n\nimport "fmt"\n{body}{ending}')
    said = _said(["go", "vet", "./..."], folder)
    refused = _numbers(r"(?:^|\s)(?:\./)?m(\d+)/main\.go:", said)
    good = [f"./m{at}" for at in range(len(table())) if at not in refused]
    _said(["go", "build", "-o", "bin/", *good], folder)
    return _judged(refused, lambda at: _life([folder / f"bin/m{at}"], folder))


def javascript(maker: Maker) -> list[str]:
    need("node")
    folder = _fresh(maker, "node")
    for at, mistake in enumerate(table()):
        (folder / f"m{at}.mjs").write_text(f'{mistake["js"]}console.log("started");\nrequest();\n')
    return _judged(set(), lambda at: _life(["node", folder / f"m{at}.mjs"], folder))


def typescript(maker: Maker) -> list[str]:
    need("node", "npm")
    maker.node("hello")  # which has the compiler installed
    modules, folder = maker.folder("node") / "node_modules", _fresh(maker, "ts")
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    for at, mistake in enumerate(table()):
        ending = 'console.log("started");\nrequest();\nexport {};\n'
        (folder / f"m{at}.ts").write_text(mistake["ts"] + ending)
    sources = sorted(folder.glob("*.ts"))
    compiler = modules / "typescript/bin/tsc"
    said = _said(["node", compiler, *TSC, "--outDir", "out", *sources], folder)
    (folder / "out/package.json").write_text(json.dumps({"type": "module"}))
    refused = _numbers(r"^m(\d+)\.ts\(", said)
    return _judged(refused, lambda at: _life(["node", folder / f"out/m{at}.js"], folder))


def _checked(maker: Maker, name: str, runs: Sequence[str]) -> list[str]:
    python, folder = maker.interpreter(), _fresh(maker, name)
    for at, mistake in enumerate(table()):
        body = mistake.get(name, mistake["python"])
        (folder / f"m{at}.py").write_text(f'{body}print("started", flush=True)\nrequest()\n')
    sources = sorted(folder.glob("*.py"))
    command: list[str | Path] = [python, "-m", "mypy", "--strict", "--python-executable", runs[0]]
    said = _said([*command, "--cache-dir", maker.cache / "mypy", *sources], folder)
    if "Found" not in said and "Success" not in said:
        raise MissingError(f"mypy failed: {said.strip().splitlines()[-1:]}")
    refused = _numbers(r"m(\d+)\.py:\d+: error", said)
    return _judged(refused, lambda at: _life([*runs, folder / f"m{at}.py"], folder))


def python(maker: Maker) -> list[str]:
    return _checked(maker, "python", [str(maker.interpreter())])


def hocket(maker: Maker) -> list[str]:
    return _checked(maker, "hocket", [sys.executable])


LANGUAGES: dict[str, Callable[[Maker], list[str]]] = {
    "go": go,
    "node": javascript,
    "ts": typescript,
    "python": python,
    "hocket": hocket,
}
