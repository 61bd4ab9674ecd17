"""`hocket key`: the keys of servers that use the REST API."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from hocket.cli.stored import add_data, data_folder, data_that_is_there, with_store
from hocket.errors import UsageError

if TYPE_CHECKING:
    from hocket.store.base import Store


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "key",
        help="make, list and revoke API keys",
        description="The keys of servers that use the REST API. They work at once, also while the "
        "server runs.",
    )
    acts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    create = _act(acts, "create", "make a key and print it, this once", _create)
    create.add_argument("--name", default="", help="what it is for, for the list")
    create.add_argument(
        "--scope",
        action="append",
        default=[],
        help="what it may do: notify, devices, topics, read; give it several times for several "
        "(default: everything)",
    )
    _act(acts, "list", "list the keys: id, day of making, scopes, name", _list)
    revoke = _act(acts, "revoke", "make a key useless", _revoke)
    revoke.add_argument("id", help="the key's id, as in the list, or the whole key")


def _act(acts: Any, name: str, help: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = acts.add_parser(name, help=help, description=help)
    add_data(parser)
    folder = data_folder if run is _create else data_that_is_there
    parser.set_defaults(
        command=lambda args: with_store(folder(args), lambda store: run(args, store))
    )
    return parser


async def _create(args: argparse.Namespace, store: Store) -> None:
    from hocket.identity.keys import make_key  # lazy: only this makes one
    from hocket.store.base import AddKey  # lazy: as above

    scopes = [scope for given in args.scope for scope in given.split(",")]
    text, row = make_key(args.name, scopes, time.time())
    await store.do(AddKey(row))
    print(text)


async def _list(args: argparse.Namespace, store: Store) -> None:
    from hocket.store.base import Keys  # lazy: as above

    for row in await store.do(Keys()):
        day = time.strftime("%Y-%m-%d", time.gmtime(row.created))
        print(row.id, day, ",".join(row.scopes), row.name, sep="  ")


async def _revoke(args: argparse.Namespace, store: Store) -> None:
    from hocket.identity.keys import split  # lazy: as above
    from hocket.store.base import RevokeKey  # lazy: as above

    parts = split(args.id)
    if not await store.do(RevokeKey(parts[0] if parts else args.id)):
        raise UsageError("there is no such key: `hocket key list` shows them")
