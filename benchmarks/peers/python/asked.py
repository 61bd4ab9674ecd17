"""What a server is asked for on its command line."""

import sys


def processes() -> int:
    """N of `--processes N`."""
    if "--processes" not in sys.argv:
        return 1
    return int(sys.argv[sys.argv.index("--processes") + 1])
