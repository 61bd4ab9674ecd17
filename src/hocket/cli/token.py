"""`hocket token`: a token for a user."""

from __future__ import annotations

import argparse
import time
from typing import Any

from hocket.errors import UsageError
from hocket.settings import load

MOST_HOURS = 87_600  # ten years


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "token",
        help="make a token for a user",
        description="Make a token that lets a user in; signed with HOCKET_SECRET.",
    )
    parser.add_argument("--user", required=True, help="who its bearer is")
    parser.add_argument(
        "--hours", type=float, default=24.0, help="how long it is valid (default: 24)"
    )
    parser.add_argument("--audience", help="its `aud` (default: the setting token_audience)")
    parser.add_argument("--issuer", help="its `iss` (default: the setting token_issuer)")
    parser.set_defaults(command=token)


def token(args: argparse.Namespace) -> None:
    from hocket.identity.model import MAX_USER, is_name  # lazy: only this command needs it
    from hocket.identity.tokens import (  # lazy: PyJWT is 70 ms of every other command's start
        Rules,
        check_secret,
        make_token,
    )

    settings = load({})
    secret = settings.secret
    if not secret:
        raise UsageError("set HOCKET_SECRET to the server's secret first")
    check_secret(secret)
    if not is_name(args.user):
        raise UsageError(f"--user needs a name of 1 to {MAX_USER} characters")
    if not 0 < args.hours <= MOST_HOURS:
        raise UsageError(f"--hours is more than 0 and at most {MOST_HOURS}")
    rules = Rules(args.audience or settings.token_audience, args.issuer or settings.token_issuer)
    print(make_token(secret, args.user, time.time(), args.hours * 3600, rules))
