"""What has to be made before it can run: the loads, and the programs of each platform.

Everything goes to a cache, is made once by the reader's own tool chains, and again when its sources
change. Packages come in the versions pinned beside the sources.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOADS = HERE / "loads"
CACHE = Path.home() / ".cache" / "hocket" / "versus"

INSTALL = {  # what installs a tool chain, by the program one needs of it
    "gcc": "sudo apt-get install gcc",
    "node": "sudo apt-get install nodejs npm",
    "npm": "sudo apt-get install nodejs npm",
    "go": "sudo apt-get install golang",
    "cargo": "sudo apt-get install cargo",
    "wrk": "sudo apt-get install wrk",
    "nginx": "sudo apt-get install nginx",
    "nghttpd": "sudo apt-get install nghttp2-server",
    "openssl": "sudo apt-get install openssl",
}


class MissingError(Exception):
    """Something cannot be made or run here; the message says what to install."""


def need(*programs: str) -> None:
    """Raises MissingError with the command that installs the first that is not there."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed: {INSTALL[program]}")


def once(stamp: Path, sources: Iterable[Path], make: Callable[[], None]) -> None:
    """Make something, unless it has been made from these sources; not twice at the same time, as by
    two measurements that begin together.
    """
    sum_now = 0
    for source in sorted(sources):
        sum_now = zlib.crc32(source.read_bytes(), sum_now)
    made_from = f"{sum_now:08x}"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    with stamp.with_name(f"{stamp.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == made_from:
            return
        stamp.unlink(missing_ok=True)
        make()
        stamp.write_text(made_from)


def run(command: Sequence[str | Path], where: Path) -> None:
    """Run a tool, behind everything else. Raises MissingError with its last line."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=where, capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.nice(19),
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(f"`{' '.join(words[:4])} ...` failed: {said[-1] if said else '?'}")


def files(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in folder.rglob(pattern)]


LOAD_PROGRAMS = {"broadcast", "connect", "echo", "flood", "rooms", "silent"}
LOAD_PROGRAMS |= {"http", "chat", "backend"}
OWN_CLIENTS = {"connect", "http", "chat", "backend"}  # which need nothing of clients.c


@dataclass(frozen=True)
class Maker:
    """Makes programs; `swapped` has sources that stand in for a platform's own."""

    cache: Path = CACHE
    root: Path = HERE / "peers"
    swapped: dict[str, Path] = field(default_factory=dict)

    def sources(self, platform: str) -> Path:
        return self.swapped.get(platform, self.root / platform)

    def folder(self, platform: str) -> Path:
        """Where a platform's programs are made; one of its own for sources that stand in."""
        return self.cache / (f"{platform}-swapped" if platform in self.swapped else platform)

    def load(self, name: str) -> str:
        """A load generator, or the backend."""
        parts = [path for path in files(LOADS, "*.c", "*.h") if path.stem not in LOAD_PROGRAMS]
        if name in OWN_CLIENTS:
            parts = [path for path in parts if path.stem != "clients"]
        return self._compiled(name, [LOADS / f"{name}.c", *parts])

    def _compiled(self, name: str, sources: list[Path]) -> str:
        need("gcc")
        program = self.cache / "bin" / name
        code = [source for source in sources if source.suffix == ".c"]
        once(
            program.with_suffix(".made"),
            sources,
            lambda: run(["gcc", *FLAGS, "-o", program, *code], LOADS),
        )
        return str(program)

    def c(self, name: str) -> list[str]:
        return [self._compiled(name, [self.sources("c") / f"{name}.c"])]

    def go(self, name: str) -> list[str]:
        need("go")
        source, folder = self.sources("go"), self.folder("go")

        def make() -> None:
            run(["go", "build", "-o", folder / name, f"./{name}"], source)

        once(folder / f".made-{name}", files(source, "go.*", "*.go"), make)
        return [str(folder / name)]

    def node(self, name: str) -> list[str]:
        need("node", "npm")
        source, folder = self.sources("node"), self.folder("node")
        pinned = [source / name for name in ("package.json", "package-lock.json", ".npmrc")]

        def make() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in pinned:
                shutil.copy(path, folder)
            run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)

        once(folder / ".made", pinned, make)
        for path in source.glob("*.mjs"):  # beside the packages: that is where they are looked for
            shutil.copy(path, folder)
        return ["node", str(folder / f"{name}.mjs")]

    def rust(self, name: str) -> list[str]:
        need("cargo")
        source, folder = self.sources("rust"), self.folder("rust")
        copy = folder / "source"  # cargo writes its lock beside the sources

        def make() -> None:
            shutil.copytree(source, copy, dirs_exist_ok=True)
            run(["cargo", "build", "--release", "-j1", "--target-dir", folder], copy)

        once(folder / ".made", files(source, "Cargo.toml", "*.rs"), make)
        return [str(folder / "release" / name)]

    def interpreter(self) -> Path:
        """The Python of an environment that has the Python peers' packages."""
        pinned, folder = self.sources("python") / "requirements.txt", self.folder("python")
        python = folder / "bin" / "python"

        def make() -> None:
            run([sys.executable, "-m", "venv", "--clear", folder], self.cache)
            run([python, *PIP, "-r", pinned], self.cache)

        self.cache.mkdir(parents=True, exist_ok=True)
        once(folder.with_suffix(".made"), [pinned], make)
        return python

    def python(self, name: str) -> list[str]:
        return [str(self.interpreter()), str(self.sources("python") / f"{name}.py")]

    def hocket(self, name: str) -> list[str]:
        """With the Hocket that is running, no other that may be installed, and nothing of a
        hocket.toml where the reader is.
        """
        paths = [str(HERE.parents[1])]
        if name in NEEDS_PACKAGES:
            paths.append(str(self._packages()))
        script = self.sources("hocket") / f"{name}.py"
        variables = [f"PYTHONPATH={':'.join(paths)}", "HOCKET_LOG_LEVEL=warning"]
        self.cache.mkdir(parents=True, exist_ok=True)
        return ["env", f"--chdir={self.cache}", *variables, sys.executable, str(script)]

    def _packages(self) -> Path:
        pinned, folder = self.sources("hocket") / "requirements.txt", self.folder("hocket")
        python = self.interpreter()  # whose pip is there for certain
        once(
            folder.with_suffix(".made"),
            [pinned],
            lambda: run(
                [python, *PIP, "--no-deps", "--upgrade", "-t", folder, "-r", pinned], self.cache
            ),
        )
        return folder


FLAGS = ("-O2", "-Wall", "-Wextra", "-pthread")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
NEEDS_PACKAGES = {"profile_io", "push"}
