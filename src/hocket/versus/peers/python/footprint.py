"""What a Python program needs on disk: python footprint.py NAME ... prints JSON.

The interpreter, its standard library, and the distributions with all that they stand on.
"""

import json
import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path


def size(paths: "list[Path]") -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def needs(name: str) -> "set[str]":
    """Names of what a distribution requires here, extras left out."""
    found = set()
    for line in metadata.requires(name) or []:
        wanted, _, marker = line.partition(";")
        if "extra" in marker or ("python_version" in marker and not applies(marker)):
            continue
        match = re.match(r"[\w.-]+", wanted)
        if match and installed(match[0]):
            found.add(re.sub(r"[-_.]+", "-", match[0]).lower())
    return found


def applies(marker: str) -> bool:
    found = re.search(r'python_version\s*<\s*"(\d+)\.(\d+)"', marker)
    return not found or sys.version_info[:2] < (int(found[1]), int(found[2]))


def installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def main(roots: "list[str]") -> None:
    depth = dict.fromkeys(roots, 1)
    waiting = list(roots)
    for name in waiting:  # grows as it goes
        for other in sorted(needs(name)):
            if other not in depth:
                depth[other] = depth[name] + 1
                waiting.append(other)
    files = [Path(str(file.locate())) for name in depth for file in metadata.files(name) or []]
    library = [
        path
        for path in Path(sysconfig.get_path("stdlib")).rglob("*")
        if not {"site-packages", "dist-packages", "test"} & set(path.parts)
    ]
    runtime = size([Path(sys.executable).resolve(), *library])
    deepest = max(depth.values(), default=0)
    told = {"bytes": runtime + size(files), "runtime": runtime, "packages": len(depth)}
    print(json.dumps({**told, "depth": deepest}))


if __name__ == "__main__":
    main(sys.argv[1:])
