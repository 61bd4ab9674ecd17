"""Devices."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

from hocket.store.base import (
    Conflict,
    DeviceRow,
    Devices,
    RegisterDevice,
    Registered,
    RemoveDevice,
)
from hocket.store.sqlite import settling
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.users import see
from hocket.store.sqlite.work import Work, carries, page

_SQL = load("devices")


@carries(RegisterDevice)
def register_device(work: Work, asked: RegisterDevice) -> Registered:
    see(work, asked.user)
    shared = _hash(asked.token)
    own = _hash(f"{len(asked.user)} {asked.user} {asked.token}")
    known = work.one(_SQL.by_token, asked.provider, own)
    known = known or work.one(_SQL.by_token, asked.provider, shared)
    if asked.beside and known is not None and known[1] != asked.user:
        known = None
    if known is None or known[1] != asked.user:
        _check_room(work, asked)
    if known is None:
        hash = own if asked.beside else shared
        id = _new_id(number := work.next_number())
        fields = (asked.user, asked.provider, asked.token, hash, asked.at, number)
        work.run(_SQL.add, id, *fields)
        return Registered(id, replaced=False)
    id, user, number = known
    if user != asked.user:  # what was accepted for the one is not for the other
        number = work.next_number()
        settling.fail_open(work, id, "the device is another user's now")
    work.run(_SQL.replace, asked.user, asked.token, asked.at, number, id)
    return Registered(id, replaced=True)


def _check_room(work: Work, asked: RegisterDevice) -> None:
    """Raises Conflict when the user may have no further device."""
    if asked.most and work.value(_SQL.count_of_user, asked.user, asked.most) >= asked.most:
        raise Conflict("too-many-devices", f"a user has at most {asked.most} devices")


def _hash(text: str) -> bytes:
    """What is unique for a provider: of the token, or of it and the user who has it `beside`."""
    return hashlib.sha256(text.encode()).digest()[:16]


def _new_id(number: int) -> str:
    """In the order of registration, so that the table grows at its end; nobody guesses it."""
    return f"{number:010x}{secrets.token_hex(5)}"


@carries(RemoveDevice)
def remove_device(work: Work, asked: RemoveDevice) -> bool:
    device = work.one(_SQL.get, asked.id)
    if device is None or asked.user not in (None, device[0]):
        return False
    forget(work, asked.id)
    return True


def forget(work: Work, id: str) -> None:
    work.run(_SQL.remove, id)
    settling.fail_open(work, id, "the device was removed")


def prune(work: Work, id: str, since: float) -> None:
    """Forget a dead device, unless it was registered after `since` (0: now)."""
    device = work.one(_SQL.get, id)
    if device is not None and (not since or device[1] <= since):
        forget(work, id)


@carries(Devices, reads=True)
def devices(work: Work, asked: Devices) -> list[DeviceRow]:
    limit = page(asked.limit)
    if asked.user is None:
        rows = work.rows(_SQL.page, asked.after, limit)
    else:
        rows = work.rows(_SQL.page_of_user, asked.user, asked.after, limit)
    return [DeviceRow(*row) for row in rows]


def providers(work: Work) -> Iterator[str]:
    """Those that devices have, each by one look into the index."""
    name = work.value(_SQL.next_provider, "")
    while name is not None:
        yield name
        name = work.value(_SQL.next_provider, name)
