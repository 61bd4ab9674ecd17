"""API keys, hashed."""

from __future__ import annotations

from typing import Any

import msgspec

from hocket.store.base import AddKey, GetKey, KeyRow, Keys, RevokeKey
from hocket.store.sqlite.queries import load
from hocket.store.sqlite.work import Work, carries

_SQL = load("keys")


@carries(AddKey)
def add_key(work: Work, asked: AddKey) -> None:
    key = asked.key
    scopes = msgspec.json.encode(key.scopes).decode()
    work.run(_SQL.add, key.id, key.hash, key.name, scopes, key.created)


@carries(GetKey, reads=True)
def get_key(work: Work, asked: GetKey) -> KeyRow | None:
    row = work.one(_SQL.get, asked.id)
    return None if row is None else _key(*row)


@carries(Keys, reads=True)
def keys(work: Work, asked: Keys) -> list[KeyRow]:
    return [_key(*row) for row in work.rows(_SQL.all)]


def _key(id: str, hash: bytes, name: str, scopes: str, created: Any) -> KeyRow:
    return KeyRow(id, hash, name, tuple(msgspec.json.decode(scopes, type=list[str])), created)


@carries(RevokeKey)
def revoke_key(work: Work, asked: RevokeKey) -> bool:
    return work.run(_SQL.revoke, asked.id) > 0
