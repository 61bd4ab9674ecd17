"""`make suites ARGS=../socket.io`: the official Engine.IO v4 and Socket.IO v5 suites.

They are part of the public repository socketio/socket.io, under docs/; give the folder of a clone.
Needs Node.js with npm, and port 3000, which is written into them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

SUITES = {
    "engineio": "docs/engine.io-protocol/v4-test-suite",
    "socketio": "docs/socket.io-protocol/v5-test-suite",
}
PORT = "3000"


def run(server: str, suite: Path) -> bool:
    """One suite against a server of its own; whether all of it passed."""
    quiet = {**os.environ, "NODE_OPTIONS": "--no-warnings"}
    if not (suite / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=suite, check=True)
    command = [sys.executable, "-m", "hocket.testing.conformance", server, "--port", PORT]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            sys.exit(f"suites: the server did not start; is port {PORT} free?")
        return subprocess.run(["npm", "test", "--silent"], cwd=suite, env=quiet).returncode == 0
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path, help="folder of a clone of socketio/socket.io")
    args = parser.parse_args()
    missing = [path for path in SUITES.values() if not (args.clone / path).is_dir()]
    if missing:
        sys.exit(f"suites: {args.clone} has no {missing[0]}: is it a clone of socketio/socket.io?")
    passed = [run(server, args.clone / path) for server, path in SUITES.items()]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
