"""`hocket vapid`: a key for Web Push."""

from __future__ import annotations

import argparse
from typing import Any

from hocket.errors import UsageError
from hocket.settings import load


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "vapid",
        help="make a key for Web Push",
        description="Make a key for Web Push and print the settings that use it. Keep it: with "
        "another one every browser has to subscribe again.",
    )
    parser.add_argument(
        "--subject",
        default="mailto:you@example.com",
        metavar="URL",
        help="where push services reach you: mailto:... or https://...",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="print the public key of HOCKET_VAPID_PRIVATE_KEY instead",
    )
    parser.set_defaults(command=vapid)


def vapid(args: argparse.Namespace) -> None:
    try:
        from hocket.providers.vapid import (  # lazy: most commands need no cryptography
            check_subject,
            make_private_key,
            public_key,
        )
    except ImportError:
        raise UsageError("vapid needs cryptography: pip install cryptography") from None
    if args.public:
        key = load({}).vapid_private_key
        if not key:
            raise UsageError("set HOCKET_VAPID_PRIVATE_KEY first")
        print(public_key(key))
        return
    subject, key = check_subject(args.subject), make_private_key()
    print(f"HOCKET_VAPID_PRIVATE_KEY={key}")
    print(f"HOCKET_VAPID_SUBJECT={subject}")
    print(f"# what browsers subscribe with (applicationServerKey): {public_key(key)}")
