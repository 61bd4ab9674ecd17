"""What a server is asked for on its command line."""

import sys


def number(flag: str, default: int = 0) -> int:
    """N of `flag N`."""
    return int(sys.argv[sys.argv.index(flag) + 1]) if flag in sys.argv else default


def processes() -> int:
    return number("--processes", 1)
