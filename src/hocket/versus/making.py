"""What has to be made before it can run: the loads, and the programs of each platform.

Everything goes to a cache, is made once by the reader's own tool chains, and again when its sources
change. Packages come in the versions pinned beside the sources.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hocket.versus.blocks import SHARED_LOADS, MissingError, files, once

HERE = Path(__file__).resolve().parent
LOADS = HERE / "loads"
CACHE = Path.home() / ".cache" / "hocket" / "versus"

INSTALL = {  # what installs a tool chain, by the program one needs of it
    "gcc": "sudo apt-get install gcc",
    "node": "sudo apt-get install nodejs npm",
    "npm": "sudo apt-get install nodejs npm",
    "go": "sudo apt-get install golang",
    "cargo": "sudo apt-get install cargo",
}


def need(*programs: str) -> None:
    """Raises MissingError with the command that installs the first that is not there."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed: {INSTALL[program]}")


def _run(command: Sequence[str | Path], where: Path) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(f"`{' '.join(words[:4])} ...` failed: {said[-1] if said else '?'}")


@dataclass(frozen=True)
class Maker:
    """Makes programs; `swapped` has sources that stand in for a platform's own."""

    cache: Path = CACHE
    swapped: dict[str, Path] = field(default_factory=dict)

    def sources(self, platform: str) -> Path:
        return self.swapped.get(platform, HERE / "peers" / platform)

    def folder(self, platform: str) -> Path:
        """Where a platform's programs are made; one of its own for sources that stand in."""
        return self.cache / (f"{platform}-swapped" if platform in self.swapped else platform)

    def load(self, name: str) -> str:
        """A load generator, or the backend."""
        parts = ["histogram.c"] if name != "backend" else []
        shared = ["net.c", "websocket.c"] if name == "chat" else ["net.c"]
        code = [LOADS / f"{name}.c", *(LOADS / part for part in parts)]
        return self._compiled(name, [*code, *(SHARED_LOADS / part for part in shared)])

    def _compiled(self, name: str, code: list[Path]) -> str:
        need("gcc")
        program = self.cache / "bin" / name
        heads = [*files(LOADS, "*.h"), *files(SHARED_LOADS, "*.h")]
        flags = ["-O2", f"-I{SHARED_LOADS}", f"-I{LOADS}", "-pthread"]
        once(
            program.with_suffix(".made"),
            [*code, *heads],
            lambda: _run(["gcc", *flags, "-o", program, *code], LOADS),
        )
        return str(program)

    def c(self, name: str) -> list[str]:
        return [self._compiled(name, [self.sources("c") / f"{name}.c"])]

    def go(self, name: str) -> list[str]:
        need("go")
        source, folder = self.sources("go"), self.folder("go")

        def make() -> None:
            _run(["go", "build", "-o", folder / name, f"./{name}"], source)

        parts = files(source, "go.*", "serving/*.go", f"{name}/*.go")
        once(folder / f".made-{name}", parts, make)
        return [str(folder / name)]

    def node(self, name: str) -> list[str]:
        need("node", "npm")
        source, folder = self.sources("node"), self.folder("node")
        pinned = [source / name for name in ("package.json", "package-lock.json", ".npmrc")]

        def make() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in pinned:
                shutil.copy(path, folder)
            _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)

        once(folder / ".made", pinned, make)
        for path in source.glob("*.mjs"):  # beside the packages: that is where they are looked for
            shutil.copy(path, folder)
        return ["node", str(folder / f"{name}.mjs")]

    def interpreter(self) -> Path:
        """The Python of an environment that has the Python peers' packages."""
        pinned, folder = self.sources("python") / "requirements.txt", self.folder("python")
        python = folder / "bin" / "python"

        def make() -> None:
            _run([sys.executable, "-m", "venv", "--clear", folder], self.cache)
            _run([python, *PIP, "-r", pinned], self.cache)

        self.cache.mkdir(parents=True, exist_ok=True)
        once(folder.with_suffix(".made"), [pinned], make)
        return python

    def python(self, name: str) -> list[str]:
        return [str(self.interpreter()), str(self.sources("python") / f"{name}.py")]

    def hocket(self, name: str) -> list[str]:
        """With the Hocket that is running, and no other that may be installed."""
        paths = [str(HERE.parents[1])]
        if name in NEEDS_PACKAGES:
            paths.append(str(self._packages()))
        script = self.sources("hocket") / f"{name}.py"
        variables = [f"PYTHONPATH={':'.join(paths)}", "HOCKET_LOG_LEVEL=warning"]
        return ["env", *variables, sys.executable, str(script)]

    def _packages(self) -> Path:
        pinned, folder = self.sources("hocket") / "requirements.txt", self.folder("hocket")
        python = self.interpreter()  # whose pip is there for certain
        once(
            folder.with_suffix(".made"),
            [pinned],
            lambda: _run(
                [python, *PIP, "--no-deps", "--upgrade", "-t", folder, "-r", pinned], self.cache
            ),
        )
        return folder


PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
NEEDS_PACKAGES = {"profile_io"}
