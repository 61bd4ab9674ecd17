"""What has to be made before it can run: loads, and servers in four languages.

Everything goes to build/benchmarks, is made once, and again when its sources change. The sources
are in src/hocket/versus: `hocket versus` measures with them too.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from hocket.versus.making import HERE as VERSUS
from hocket.versus.making import PIP, Maker, MissingError, files, need, once, run

__all__ = ["BUILD", "HERE", "MissingError", "c", "go", "hocket", "load", "need", "node", "python"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "benchmarks"
PEERS = VERSUS / "crowd"

COMPILE = ("-q", "--invalidation-mode", "checked-hash")  # as in the Makefile
MAKER = Maker(cache=BUILD, root=PEERS)

load, c, go, python = MAKER.load, MAKER.c, MAKER.go, MAKER.python


def node(script: str) -> list[str]:
    return MAKER.node(script.removesuffix(".mjs"))


def rust() -> list[str]:
    return MAKER.rust("socketioxide-peer")


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
    answer = subprocess.run([base, "-c", asked], stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:  # such as a shim for a version that is not switched on
        raise MissingError(f"{base} does not run")
    version = answer.stdout.strip()
    pinned = ROOT / "requirements" / "runtime.lock"
    folder = BUILD / f"venv-{version}"
    interpreter = folder / "bin" / "python"

    def make() -> None:
        run([base, "-m", "venv", "--clear", folder], ROOT)
        run([interpreter, *PIP, "--require-hashes", "-r", pinned], ROOT)

    once(folder.with_suffix(".made"), [pinned], make)
    source = ROOT / "src"
    once(
        BUILD / f"compiled-{version}.made",  # as the set-up does for the Python it is for
        files(source, "*.py"),
        lambda: run([interpreter, "-m", "compileall", *COMPILE, source], ROOT),
    )
    return ["env", f"PYTHONPATH={ROOT / 'src'}", str(interpreter), str(PEERS / "python" / script)]
