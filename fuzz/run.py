"""`python -m fuzz.run [--inputs 1000000] [TARGET ...]`: so many inputs for each parser.

`make fuzz` sets up what it needs. An input that a parser fails on is kept in build/fuzz/ and named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

NAMES = ["websocket", "http-head", "chunked-body", "polling-payload", "socketio-packet", "json"]
BUILD = Path(__file__).resolve().parent.parent / "build" / "fuzz"
LONGEST = 512


def fuzz(name: str, arguments: list[str]) -> None:
    """In a process of its own: atheris does not return."""
    import atheris

    with atheris.instrument_imports(include=["hocket.protocol"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def run(name: str, inputs: int) -> bool:
    from fuzz.targets import SEEDS  # not before: the fuzzing process imports it with instruments

    corpus = BUILD / name
    corpus.mkdir(parents=True, exist_ok=True)
    for at, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{at}").write_bytes(seed)
    command = [sys.executable, "-m", "fuzz.run", "--child", name, "--"]
    command += [
        f"-runs={inputs}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={corpus}/find-",
        str(corpus),
    ]
    began = time.monotonic()
    process = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if process.returncode:
        print(process.stderr[-3_000:], file=sys.stderr)
        print(f"{name}: FAILED after {seconds:.0f} s; the input is in {corpus}")
        return False
    print(f"{name}: {inputs} inputs, 0 failures, {seconds:.0f} s", flush=True)
    return True


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        fuzz(sys.argv[2], sys.argv[4:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(NAMES)}; all unless named")
    args = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.exit("fuzz: needs the package atheris: run `make fuzz`, which sets it up")
    results = [run(name, args.inputs) for name in args.targets or NAMES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
