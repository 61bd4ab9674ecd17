"""`make autobahn`: the Autobahn test suite against Hocket's WebSocket, on the production code path.

The suite (package `autobahntestsuite`) runs under Python 2.7: name one with PYTHON27, or have it on
PATH or under pyenv. Prints a count per verdict and every case that is not OK; exit status 1 if a
case failed, or is not strict and not on the list in docs/reference/conformance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "autobahn"
PACKAGE = "autobahntestsuite==25.10.1"
KNOWN = {"6.4.3", "6.4.4"}  # NON-STRICT, and why: docs/reference/conformance.md
FINE = {"OK", "INFORMATIONAL"}
CASES = ["*"]


def python27() -> str:
    found = [os.environ.get("PYTHON27", ""), shutil.which("python2.7") or ""]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/2.7*/bin/python")]
    for path in found:
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    sys.exit("autobahn: needs Python 2.7: install one (pyenv install 2.7.18) or name it: PYTHON27=")


def wstest() -> Path:
    """The suite's program, installed on first use."""
    program = CACHE / "venv" / "bin" / "wstest"
    if not program.exists():
        print("autobahn: installing the suite (once) ...", file=sys.stderr)
        python = python27()
        pip = [str(CACHE / "venv" / "bin" / "pip"), "-q", "install", PACKAGE]
        for command in (
            [python, "-m", "pip", "-q", "install", "--target", str(CACHE / "tools"), "virtualenv"],
            [python, "-m", "virtualenv", "-q", str(CACHE / "venv")],
            pip,
        ):
            environ = (
                {**os.environ, "PYTHONPATH": str(CACHE / "tools")}
                if "virtualenv" in command
                else None
            )
            subprocess.run(command, check=True, env=environ)
    return program


def run(program: Path, url: str, cases: list[str]) -> dict[str, dict[str, str]]:
    reports = CACHE / "reports"
    spec = CACHE / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "outdir": str(reports),
                "servers": [{"agent": "hocket", "url": url}],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run(
        [str(program), "--mode", "fuzzingclient", "--spec", str(spec)],
        check=True,
        env=environ,
        stdout=subprocess.DEVNULL,
    )
    verdicts: dict[str, dict[str, str]] = json.loads((reports / "index.json").read_text())["hocket"]
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=CASES, help="such as 1.* 6.4.1")
    parser.add_argument("--url", help="test another server, which is running, instead")
    args = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    program = wstest()
    server = None
    if args.url is None:
        server = subprocess.Popen(
            [sys.executable, "-m", "hocket.testing.conformance", "websocket", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert server.stdout is not None
        args.url = server.stdout.readline().split()[-1].replace("http:", "ws:")
    try:
        verdicts = run(program, args.url, args.cases)
    finally:
        if server is not None:
            server.terminate()
            server.wait()
    return report(verdicts)


def report(verdicts: dict[str, dict[str, str]]) -> int:
    both = {case: {each["behavior"], each["behaviorClose"]} for case, each in verdicts.items()}
    counts = Counter(each["behavior"] for each in verdicts.values())
    for case, verdict in sorted(both.items()):
        if verdict != {"OK"}:
            print(f"{case}: {', '.join(sorted(verdict - {'OK'}))}")
    print(f"{len(verdicts)} cases: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    bad = [
        case
        for case, verdict in both.items()
        if verdict - FINE and not (verdict <= {*FINE, "NON-STRICT"} and case in KNOWN)
    ]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
