"""What has to be made before it can run: C programs, and servers in four languages.

Everything goes to build/benchmarks, is made once, and again when its sources change. Packages come
from the public registries by the languages' own clients, in the versions pinned beside the sources.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
LOADS = HERE / "loads"
BUILD = ROOT / "build" / "benchmarks"

COMPILE = ("-q", "--invalidation-mode", "checked-hash")  # as in the Makefile

PACKAGES = {  # of Debian, by the program one needs
    "gcc": "gcc",
    "node": "nodejs",
    "npm": "npm",
    "go": "golang",
    "cargo": "cargo",
    "wrk": "wrk",
}


class MissingError(Exception):
    """Something cannot be made or run here; the message says what to install."""


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(f"needs {program}: install the package {PACKAGES[program]}")


def once(stamp: Path, sources: Iterable[Path], make: Callable[[], None]) -> None:
    """Make something, unless it has been made from these sources."""
    sum_now = 0
    for source in sorted(sources):
        sum_now = zlib.crc32(source.read_bytes(), sum_now)
    made_from = f"{sum_now:08x}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    make()
    stamp.write_text(made_from)


def run(command: Sequence[str | Path], where: Path) -> None:
    """Run a tool; what it prints goes to stderr. Raises MissingError."""
    words = ["nice", "-n", "19", *map(str, command)]
    if subprocess.run(words, cwd=where, stdout=sys.stderr, check=False).returncode:
        raise MissingError(f"`{' '.join(words[3:6])} ...` failed in {where.name}, see above")


def files(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in folder.rglob(pattern)]


def _compiled(name: str, sources: list[Path]) -> str:
    need("gcc")
    program = BUILD / "bin" / name
    code = [source for source in sources if source.suffix == ".c"]

    def make() -> None:
        run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, *code], LOADS)

    once(program.with_suffix(".made"), sources, make)
    return str(program)


def load(name: str) -> str:
    """A load generator: its own file, and all that it stands on."""
    parts = [path for path in files(LOADS, "*.c", "*.h") if path.stem not in LOAD_PROGRAMS]
    if name == "connect":  # has clients of its own
        parts = [path for path in parts if path.stem != "clients"]
    return _compiled(name, [LOADS / f"{name}.c", *parts])


LOAD_PROGRAMS = {"broadcast", "connect", "echo", "flood", "rooms", "silent"}


def c(name: str) -> list[str]:
    return [_compiled(name, [PEERS / "c" / f"{name}.c"])]


def node(script: str) -> list[str]:
    need("node", "npm")
    source, folder = PEERS / "node", BUILD / "node"
    pinned = [source / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def make() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in pinned:
            shutil.copy(path, folder)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)

    once(folder / ".made", pinned, make)
    for path in source.glob("*.mjs"):  # beside the packages: that is where they are looked for
        shutil.copy(path, folder)
    return ["node", str(folder / script)]


def go(name: str) -> list[str]:
    need("go")
    source, folder = PEERS / "go", BUILD / "go"

    def make() -> None:
        run(["go", "build", "-o", folder / name, f"./{name}"], source)

    sources = files(source, "go.*", "common/*.go", f"{name}/*.go")
    once(folder / f".made-{name}", sources, make)
    return [str(folder / name)]


def rust() -> list[str]:
    need("cargo")
    source, folder = PEERS / "rust", BUILD / "rust"

    def make() -> None:
        run(["cargo", "build", "--release", "-j1", "--target-dir", folder], source)

    once(folder / ".made", files(source, "Cargo.toml", "*.rs"), make)
    return [str(folder / "release" / "socketioxide-peer")]


def _environment(folder: Path, base: str, pinned: Path, *options: str) -> Path:
    """A virtual environment of these packages; its Python."""
    python = folder / "bin" / "python"

    def make() -> None:
        run([base, "-m", "venv", "--clear", folder], ROOT)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
        run([python, *install, "-r", pinned], ROOT)

    once(folder.with_suffix(".made"), [pinned], make)
    return python


def python(script: str) -> list[str]:
    pinned = PEERS / "python" / "requirements.txt"
    interpreter = _environment(BUILD / "venv", sys.executable, pinned)
    return [str(interpreter), str(PEERS / "python" / script)]


def hocket(script: str = "hocket_app.py") -> list[str]:
    return [sys.executable, str(PEERS / "python" / script)]


def hocket_with_fastapi(script: str) -> list[str]:
    if importlib.util.find_spec("fastapi") is None:
        raise MissingError("needs the package fastapi beside Hocket: pip install fastapi")
    return hocket(script)


def hocket_on(base: str, script: str = "hocket_app.py") -> list[str]:
    """Hocket from this tree, on another Python."""
    if shutil.which(base) is None:
        raise MissingError(f"there is no {base}")
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([base, "-c", asked], text=True).strip()
    pinned = ROOT / "requirements" / "runtime.lock"
    interpreter = _environment(BUILD / f"venv-{version}", base, pinned, "--require-hashes")
    source = ROOT / "src"
    once(
        BUILD / f"compiled-{version}.made",  # as the set-up does for the Python it is for
        files(source, "*.py"),
        lambda: run([interpreter, "-m", "compileall", *COMPILE, source], ROOT),
    )
    return ["env", f"PYTHONPATH={ROOT / 'src'}", str(interpreter), str(PEERS / "python" / script)]
