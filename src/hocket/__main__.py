"""`python -m hocket` is `hocket`."""

from hocket.cli import main

main()
