"""`hocket notify`: tell users something, from a shell or a script."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hocket.cli.stored import add_data, data_that_is_there, settings_of
from hocket.errors import HocketError, UsageError

if TYPE_CHECKING:
    from hocket.notify.jobs import Job, Jobs, Status
    from hocket.notify.model import Audience, Notification
    from hocket.settings import Settings
    from hocket.store.base import Store

URGENCIES: Final = ("very-low", "low", "normal", "high")
PATIENCE: Final = 1.0  # seconds that a status may take once somebody has said stop
LONGEST: Final = 1_000  # characters of a line in a file of users: no name is as long


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "notify",
        help="notify users",
        description="Store a notification in the running server's data folder, and wait until it "
        "is delivered. Exit status 0: every device has it; 1: some do not; 2: nothing was stored.",
    )
    _add_audience(parser)
    _add_content(parser)
    group = parser.add_argument_group("how")
    add_data(group)
    group.add_argument("--key", default="", help="repeating the command with it notifies once")
    group.add_argument("--dry-run", action="store_true", help="count who it is for; store nothing")
    group.add_argument("--no-wait", action="store_true", help="go when it is stored")
    group.add_argument("--timeout", type=float, help="seconds to wait at most; it goes on then")
    group.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.set_defaults(command=notify)


def _add_audience(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for whom", "any of them, or several together")
    group.add_argument("--all", action="store_true", help="everybody that the server knows")
    group.add_argument("--topic", action="append", default=[], help="whoever is in it; repeatable")
    group.add_argument("--users", metavar="FILE", help="users, one a line; - reads them from stdin")


def _add_content(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what")
    group.add_argument("--title", default="")
    group.add_argument("--body", default="")
    group.add_argument("--url", default="", help="where a click on it leads")
    group.add_argument("--urgency", choices=URGENCIES, default="normal")
    group.add_argument("--ttl", type=int, help="seconds in which it must reach a device")
    group.add_argument("--template", default="", help="a file in the setting templates, sans .toml")
    group.add_argument("--variables", default="{}", metavar="JSON", help="the template's")
    group.add_argument(
        "--send-at",
        metavar="TIME",
        help="at most a year ahead: YYYY-MM-DDThh:mm+01:00, or Unix seconds",
    )


def notify(args: argparse.Namespace) -> None:
    settings = settings_of(args)
    if args.dry_run:
        data_that_is_there(args)
    try:
        status = asyncio.run(_notify(args, settings))
    except KeyboardInterrupt:
        status = 130
    except HocketError as error:
        raise UsageError(str(error)) from None
    sys.exit(status)


async def _notify(args: argparse.Namespace, settings: Settings) -> int:
    from hocket import store  # lazy: commands without data do not need it

    audience, notification = read_audience(args), read_notification(args)
    await _check_server(args, settings)
    opened = await store.open(settings.data)
    try:
        if args.dry_run:
            return await _foresee(args, opened, audience, notification)
        return await _send(args, opened, audience, notification, settings.templates)
    finally:
        await opened.close()


async def _check_server(args: argparse.Namespace, settings: Settings) -> None:
    """Raises UsageError where there is nobody to wait for."""
    from hocket.store.client import is_served  # lazy: only instances with data have a store

    if args.dry_run or args.no_wait or await is_served(Path(settings.data)):
        return
    raise UsageError(
        f"no server runs with --data {settings.data}: start it, or say --no-wait to store the "
        "notification for when it does"
    )


# What was asked for


def read_audience(args: argparse.Namespace) -> Audience:
    """Raises UsageError."""
    from hocket.notify.model import Audience  # lazy: only those who notify need it

    users = read_users(args.users) if args.users is not None else ()
    if args.users is not None and not users:
        raise UsageError(f"--users {args.users}: there is no user in it")
    if not (args.all or args.topic or users):
        raise UsageError("for whom? --all, --topic TOPIC or --users FILE")
    return Audience(all_users=args.all, user_ids=users, topics=tuple(sorted(set(args.topic))))


def read_users(name: str) -> tuple[str, ...]:
    """The users in a file, each once, in an order that does not depend on the file's: so a repeat
    with the same key is recognised. Raises UsageError.
    """
    try:
        if name == "-":
            return _users_in(sys.stdin)
        with open(name, encoding="utf-8") as lines:
            return _users_in(lines)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--users {name}: {error}") from None


def _users_in(lines: Any) -> tuple[str, ...]:
    from hocket.notify.service import MAX_USERS  # lazy: only those who notify need it

    found: set[str] = set()
    while line := lines.readline(LONGEST):
        if len(line) == LONGEST:
            raise UsageError(f"--users: a line is over {LONGEST} characters; one user a line")
        if user := line.strip():
            found.add(user)
        if len(found) > MAX_USERS:
            raise UsageError(f"--users: at most {MAX_USERS} at a time; a topic may have more")
    return tuple(sorted(found))


def read_notification(args: argparse.Namespace) -> Notification:
    """Raises UsageError."""
    import msgspec  # lazy: the command line alone does not need it

    from hocket.notify.model import Notification  # lazy: as above

    fields = {name: getattr(args, name) for name in ("title", "body", "url", "urgency", "template")}
    if args.ttl is not None:
        fields["ttl"] = args.ttl
    if args.send_at is not None:
        fields["send_at"] = read_time(args.send_at)
    try:
        fields["variables"] = json.loads(args.variables)
        return msgspec.convert(fields, Notification)
    except (ValueError, RecursionError) as error:  # json's and msgspec's are ValueErrors
        where = "--variables" if "variables" not in fields else "the notification"
        raise UsageError(f"{where}: {error}") from None


def read_time(text: str) -> float:
    """Seconds since 1970. Raises UsageError."""
    with contextlib.suppress(ValueError):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        tomorrow = datetime.now().astimezone() + timedelta(days=1)
        raise UsageError(
            f"--send-at {text!r} is no time such as {tomorrow.isoformat(timespec='minutes')} or "
            f"{tomorrow.timestamp():.0f}"
        ) from None


# What is done


async def _foresee(
    args: argparse.Namespace, store: Store, audience: Audience, notification: Notification
) -> int:
    from hocket.cli.outcome import show_counted  # lazy: only those who notify need it
    from hocket.notify.service import check  # lazy: as above
    from hocket.store.base import AudienceRow, CountAudience  # lazy: as above

    check(audience, notification, time.time())
    row = AudienceRow(audience.all_users, audience.user_ids, audience.topics)
    show_counted(await store.do(CountAudience(row)), args.json)
    return 0


async def _send(
    args: argparse.Namespace,
    store: Store,
    audience: Audience,
    notification: Notification,
    templates: str,
) -> int:
    from hocket.cli.outcome import show  # lazy: only those who notify need it
    from hocket.notify.jobs import Job, Jobs  # lazy: as above
    from hocket.notify.service import Notifications  # lazy: as above

    accepting = Notifications(store, time.time, lambda given: fill_in(given, templates))
    accepted = await accepting.accept(audience, notification, caller="cli", key=args.key)
    jobs, start = Jobs(store, time.time), time.monotonic()
    job = Job(accepted.id, jobs)
    waits = not args.no_wait and accepted.state != "scheduled"
    late = waits and not await _wait(args, store, jobs, job)
    status = await job.status()
    await show(store, status, time.monotonic() - start, args.json)
    return exit_status(status) if waits and not late else int(late)


def fill_in(notification: Notification, folder: str) -> Notification:
    """With what its template in a folder says. Raises UsageError, TemplateError."""
    from hocket.notify.templates import Templates  # lazy: only those who use one need it

    if not folder:
        raise UsageError("--template: the setting templates [HOCKET_TEMPLATES] says where it is")
    templates = Templates()
    templates.load(folder)
    return templates.fill_in(notification)


async def _wait(args: argparse.Namespace, store: Store, jobs: Jobs, job: Job) -> bool:
    """Show how it goes until it is settled; False: the time is over, or somebody said stop."""
    from hocket.cli.progress import show_progress  # lazy: only those who wait need it

    hearing = asyncio.create_task(_hear(store, jobs))
    try:
        async with asyncio.timeout(args.timeout):
            await show_progress(job, quiet=args.json and not sys.stderr.isatty())
        return True
    except TimeoutError:
        print(f"hocket: not done after {args.timeout:g} s; it goes on", file=sys.stderr)
        return False
    except asyncio.CancelledError:
        await _say_it_goes_on(job)
        raise
    finally:
        hearing.cancel()
        await asyncio.wait([hearing])


async def _say_it_goes_on(job: Job) -> None:
    """How far it is; without that if the store is not there just now."""
    from hocket.cli.progress import so_far  # lazy: only those who wait need it

    seen = ""
    with contextlib.suppress(HocketError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            seen = f" at {so_far(await job.status())}"
    print(f"hocket: stopped waiting{seen}; {job.id} goes on on the server", file=sys.stderr)


async def _hear(store: Store, jobs: Jobs) -> None:
    """Pass on what the store says about jobs."""
    from hocket.store.base import Progress  # lazy: only those who wait need it

    async for event in store.events():
        if isinstance(event, Progress):
            jobs.told(event)


def exit_status(status: Status) -> int:
    """0: every device that wants it has it."""
    return int(bool(status.failed or status.expired or status.cancelled or status.pending))
