"""`hocket bench`: load on a server, and how it bears it."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hocket.errors import UsageError

if TYPE_CHECKING:
    from hocket.bench.plan import Plan

SCENARIOS: Final = ("broadcast", "echo", "rooms", "storm", "churn")
NEEDED: Final = {"hdrh": "hdrhistogram", "rich": "rich", "matplotlib": "matplotlib"}

# name: type, default, least, most, help
NUMBERS: Final[dict[str, tuple[type, float, float, float, str]]] = {
    "connections": (int, 1000, 1, 10_000_000, "clients"),
    "processes": (int, 0, 0, 1024, "of the load generator; 0: one a core, more where one may not "
                  "open enough files"),
    "rooms": (int, 1000, 1, 10_000_000, "rooms, over which the clients are spread; not given: no "
              "more than there are clients"),
    "rate": (float, 0, 0, 1e7, "a second, all together: echoes, rounds, clients replaced; 0: "
             "answers set the pace"),
    "seconds": (float, 10, 0.1, 86_400, "how long, for echo and churn, and rounds with a rate"),
    "rounds": (int, 10, 1, 100_000, "how many, for broadcast and rooms without a rate"),
    "size": (int, 100, 40, 60_000, "bytes of a message"),
    "window": (int, 1000, 1, 1_000_000, "handshakes under way at a time (a storm has no bound)"),
    "timeout": (float, 30, 0.1, 3600, "seconds that a handshake, an answer, a round may take"),
    "retries": (int, 5, 0, 100, "further tries of a client that does not get in"),
}  # fmt: skip


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure a server under load",
        description="Bring many clients to a Socket.IO (or, with --raw, WebSocket) server and "
        "measure it. Exit status 1 when a client was lost or a message did not arrive once.",
    )
    parser.add_argument("url", metavar="URL", help="of the server, such as http://127.0.0.1:8080")
    parser.add_argument("--scenario", choices=SCENARIOS, default="broadcast")
    for name, (_, default, _, _, help) in NUMBERS.items():
        parser.add_argument(f"--{name}", metavar="N", help=f"{help} [default: {default:g}]")
    _add_words(parser)
    parser.set_defaults(command=bench)


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--transport",
        choices=("websocket", "upgrade"),
        default="websocket",
        help="how clients come in: at once, or over polling first, as the default client does",
    )
    parser.add_argument("--raw", action="store_true", help="a plain WebSocket server that echoes")
    parser.add_argument("--path", default="/socket.io", help="where Socket.IO is")
    parser.add_argument("--token", help="goes into the auth payload as `token`")
    parser.add_argument("--auth", metavar="JSON", default="{}", help="more for the auth payload")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything there")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw it there (.svg or .png)")
    parser.add_argument(
        "--insecure", action="store_true", help="take any certificate, also one signed by itself"
    )
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="the server is on another machine, and yours to put under load",
    )


def bench(args: argparse.Namespace) -> None:
    _check_here(args)
    plan = make_plan(args)
    from hocket.bench.report import summary  # lazy: no other command needs any of it
    from hocket.bench.run import run  # lazy: as above

    try:
        found = run(plan)
    except KeyboardInterrupt:  # before there was anything to tell, or for the second time
        raise SystemExit(130) from None
    try:
        _keep(args, found)
    finally:  # what was measured for an hour is told, too
        print(_printable(summary(found)), flush=True)
    if found["interrupted"]:
        raise SystemExit(130)
    raise SystemExit(1 if found["problems"] else 0)


def _keep(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write the files that were asked for, each also where another one cannot be."""
    wrong = []
    if args.json is not None:
        try:
            args.json.write_text(json.dumps(found, indent=1) + "\n")
        except OSError as error:
            wrong.append(f"--json: {args.json}: {error.strerror}")
    if args.plot is not None:
        from hocket.bench.plot import draw  # lazy: no other command needs any of it

        try:
            draw(found, args.plot)
        except UsageError as error:
            wrong.append(str(error))
    if wrong:
        raise UsageError("; ".join(wrong))


def _printable(text: str) -> str:
    """What a terminal without UTF-8 cannot show, a server's words maybe, as ?."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _check_here(args: argparse.Namespace) -> None:
    """What can be said before anything has been measured for an hour."""
    if not hasattr(select, "epoll"):
        raise UsageError("hocket bench needs Linux: its clients live in an epoll")
    if missing := [package for module, package in NEEDED.items() if not find_spec(module)]:
        raise UsageError(f"bench needs {', '.join(missing)}: pip install {' '.join(missing)}")
    for option, path in (("--json", args.json), ("--plot", args.plot)):
        if path is not None:
            _check_file(option, path)
    if args.plot is not None and args.plot.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot: {args.plot} ends in neither .svg nor .png")


def _check_file(option: str, path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option}: there is no folder {path.parent}")
    if path.is_dir() or not (_is_made(path) if not path.exists() else os.access(path, os.W_OK)):
        raise UsageError(f"{option}: {path} cannot be written")


def _is_made(path: Path) -> bool:
    """Whether it can be: rights are not all that there is to it, in /proc for one."""
    try:
        path.touch(exist_ok=False)
        path.unlink()
    except OSError:
        return False
    return True


def make_plan(args: argparse.Namespace) -> Plan:
    """What was asked for. Raises UsageError for what cannot be."""
    from hocket.bench import plan as plans  # lazy: no other command needs any of it
    from hocket.bench.target import find  # lazy: as above

    numbers = {name: _number(name, getattr(args, name)) for name in NUMBERS}
    target = find(args.url, args.allow_remote)
    if args.rooms is None:
        numbers["rooms"] = min(numbers["rooms"], numbers["connections"])
    processes = numbers.pop("processes")
    plan = plans.Plan(
        target=target,
        scenario=args.scenario,
        transport=args.transport,
        raw=args.raw,
        path="/" + args.path.strip("/") + "/" if args.path.strip("/") else "/",
        namespace="/" if args.raw else target.path,
        auth=_auth(args),
        insecure=args.insecure,
        **numbers,
    )
    processes = processes or plans.processes_for(plan)
    return plans.checked(plan, min(processes, plan.connections))


def _number(name: str, given: str | None) -> Any:
    kind, default, least, most, _ = NUMBERS[name]
    if given is None:
        return kind(default)
    try:
        number = kind(given)
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise UsageError(
            f"--{name}: {given!r} is not possible, it takes from {least:g} to {most:.10g}"
        )
    return number


def _auth(args: argparse.Namespace) -> dict[str, Any]:
    try:
        auth = json.loads(args.auth)
    except ValueError:
        auth = None
    if not isinstance(auth, dict):
        raise UsageError(f'--auth: {args.auth!r} is no JSON object such as {{"name": "ada"}}')
    return {**auth, "token": args.token} if args.token else auth
