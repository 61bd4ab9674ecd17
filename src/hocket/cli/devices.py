"""`hocket devices`: devices to and from CSV, streamed: a million of them need no memory."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO

from hocket.cli.stored import add_data, data_folder, data_that_is_there, with_store
from hocket.errors import HocketError, UsageError

if TYPE_CHECKING:
    from hocket.cli.tokens import Tokens
    from hocket.store.base import Store

COLUMNS: Final = ("id", "user", "provider", "token", "registered")
NEEDED: Final = frozenset({"user", "provider", "token"})
LONGEST: Final = {"user": 200, "provider": 100, "token": 8_192}  # characters
AT_ONCE: Final = 1_000  # devices on their way to the store
NAMED: Final = 20  # bad lines that are named one by one


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "devices",
        help="export and import devices as CSV",
        description="Devices of users, as CSV with a header line. Both work while the server runs.",
    )
    acts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    export = acts.add_parser("export", help="write all devices to standard output")
    add_data(export)
    export.set_defaults(command=run_export)
    load = acts.add_parser(
        "import",
        help="register the devices of a file",
        description="Register the devices of a file with the columns user, provider and token; "
        "registered (seconds since 1970) if it is there; others are left alone. Tokens are checked "
        "by the providers that are set up. Bad lines are named and skipped, and make the exit "
        "status 1.",
    )
    load.add_argument("file", help="the CSV file; - is standard input")
    add_data(load)
    load.add_argument("--dry-run", action="store_true", help="look at every line, import none")
    load.add_argument("--strict", action="store_true", help="import none if a line is bad")
    load.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="NAME",
        help="a provider of your app's own, whose tokens are taken as they are; repeatable",
    )
    load.set_defaults(command=run_import)


# Export


def run_export(args: argparse.Namespace) -> None:
    with_store(data_that_is_there(args), _export)


async def _export(store: Store) -> None:
    from hocket.store.base import Devices  # lazy: commands without data do not need it

    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=True)
    writer, progress, after = csv.writer(out), Progress("exported"), ""
    try:
        writer.writerow(COLUMNS)
        while page := await store.do(Devices(after=after, limit=AT_ONCE)):
            rows = [(row.id, row.user, row.provider, row.token, row.registered) for row in page]
            writer.writerows(rows)
            after = page[-1].id
            progress.add(len(page))
    except BrokenPipeError:  # `| head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        out.detach()
    progress.end()


# Import


class Device(NamedTuple):
    user: str
    provider: str
    token: str
    registered: float


@dataclass
class Bad:
    """Lines that cannot be imported; the first are named."""

    count: int = 0

    def name(self, line: int, why: str) -> None:
        self.count += 1
        if self.count <= NAMED:
            print(f"line {line}: {why}", file=sys.stderr)
        elif self.count == NAMED + 1:
            print("more lines are bad and not named", file=sys.stderr)


def run_import(args: argparse.Namespace) -> None:
    from hocket.cli.tokens import Tokens  # lazy: only this needs providers

    data, bad, tokens = data_folder(args), Bad(), Tokens(args.provider)
    if args.strict and not args.dry_run:
        if args.file == "-":
            raise UsageError("--strict reads the file twice; standard input can be read once")
        with _opened(args.file) as file:
            _count(read(file, tokens, bad))
        if bad.count:
            raise UsageError(f"{args.file}: {bad.count} bad lines; nothing was imported")
    with _opened(args.file) as file:
        if args.dry_run:
            count = _count(read(file, tokens, bad))
            print(f"{count} devices could be imported, {bad.count} lines are bad")
        else:
            with_store(data, lambda store: _import(store, read(file, tokens, bad), bad))
    if bad.count:
        raise SystemExit(1)


def _count(devices: Iterator[Device]) -> int:
    return sum(1 for _ in devices)


async def _import(store: Store, devices: Iterator[Device], bad: Bad) -> None:
    from hocket.serve.api.devices import ADDRESSES  # lazy: commands without data do not need it
    from hocket.store.base import RegisterDevice  # lazy: as above

    progress, replaced = Progress("imported"), 0
    try:
        while some := list(itertools.islice(devices, AT_ONCE)):
            asked = [
                store.do(RegisterDevice(*device, beside=device.provider in ADDRESSES))
                for device in some
            ]
            replaced += sum(each.replaced for each in await asyncio.gather(*asked))
            progress.add(len(some))
    except HocketError as error:  # importing it again changes nothing for those
        raise UsageError(f"{error}; at least {progress.count} devices were imported") from None
    finally:
        progress.end()
    print(f"{progress.count} devices imported, {replaced} of them replaced, {bad.count} lines bad")


def _opened(file: str) -> TextIO:
    try:
        source: Any = sys.stdin.fileno() if file == "-" else file
        return open(source, encoding="utf-8-sig", newline="", errors="strict", closefd=file != "-")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


def read(file: Iterable[str], tokens: Tokens, bad: Bad) -> Iterator[Device]:
    """The devices of a CSV file, as they are asked for.

    Raises: UsageError when it is no CSV file with these columns.
    """
    reader = csv.DictReader(file, strict=True)
    if missing := NEEDED - set(_header(reader)):
        raise UsageError(f"the first line must name the columns {', '.join(sorted(missing))}")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            # What follows cannot be told apart from what is broken.
            raise UsageError(
                f"line {reader.line_num + 1}: {error}; the rest was not read"
            ) from None
        try:
            yield _device(row, tokens)
        except ValueError as error:
            bad.name(reader.line_num, f"{error}")


def _device(row: dict[str, str], tokens: Tokens) -> Device:
    """Raises: ValueError that says why it is none."""
    if why := _wrong(row):
        raise ValueError(why)
    token = tokens.check(row["provider"], row["token"])
    return Device(row["user"], row["provider"], token, float(row.get("registered") or time.time()))


def _header(reader: csv.DictReader[str]) -> Iterable[str]:
    try:
        return reader.fieldnames or ()
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"line 1: {error}") from None


def _wrong(row: dict[str, str]) -> str:
    """Why it is no device, or nothing."""
    for name in ("user", "provider", "token"):
        if not row[name]:
            return f"no {name}"
        if len(row[name]) > LONGEST[name]:
            return f"{name} is longer than {LONGEST[name]} characters"
    if None in row:
        return "more fields than the first line"
    try:
        registered = float(row.get("registered") or 0)
    except ValueError:
        registered = -1.0
    if not 0 <= registered < 32_503_680_000:
        return f"registered is {row['registered']!r}, not seconds since 1970"
    return ""


class Progress:
    """A line that counts, on a terminal."""

    def __init__(self, what: str) -> None:
        self.count = 0
        self._what = what
        self._shown = sys.stderr.isatty()

    def add(self, count: int) -> None:
        self.count += count
        if self._shown:
            print(f"\r{self._what}: {self.count}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown and self.count:
            print(file=sys.stderr)
