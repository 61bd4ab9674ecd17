"""Keys that change while the server runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hocket.errors import KEYS_UNAVAILABLE, TOKEN_REQUIRED, Denied
from hocket.identity.keyset import FRESH, MAX_KEYS, PAUSE, STALE, KeySet, read_set
from hocket.identity.model import Identity
from hocket.identity.tokens import Rules, Tokens
from tests.support import asynchronous, eventually, turns
from tests.unit.identity.signing import (
    NOW,
    ec_key,
    jwk,
    key_set,
    other_rsa_key,
    rsa_key,
    signed,
)


class World:
    """A login with its key set, and a server's clock."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.content: bytes | Exception = key_set(jwk(rsa_key(), kid="one"))
        self.looks = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = KeySet(self._fetch, lambda: self.now)
        self.tokens = Tokens({}, self.keys, Rules(), lambda: NOW)

    async def _fetch(self) -> bytes:
        self.looks += 1
        await self.gate.wait()
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    async def read(self, token: str) -> Identity:
        found = self.tokens.read(token)
        return found if isinstance(found, Identity) else await found

    async def refused(self, token: str) -> str:
        with pytest.raises(Denied) as denied:
            await self.read(token)
        return denied.value.code


ONE = signed(rsa_key(), "RS256", "one")
TWO = signed(other_rsa_key(), "RS256", "two")


@asynchronous
async def test_a_key_is_fetched_once() -> None:
    world = World()
    assert (await world.read(ONE)).user == "ada"
    assert isinstance(world.tokens.read(ONE), Identity), "no waiting for a key that is known"
    assert world.looks == 1


@asynchronous
async def test_rotation() -> None:
    world = World()
    await world.read(ONE)
    world.content = key_set(jwk(other_rsa_key(), kid="two"))
    assert await world.refused(TWO) == TOKEN_REQUIRED, "it looked a moment ago"
    world.now += PAUSE
    assert (await world.read(TWO)).user == "ada"
    assert await world.refused(ONE) == TOKEN_REQUIRED, "the old key has gone"
    assert world.looks == 2


@asynchronous
async def test_all_who_wait_share_one_look() -> None:
    world = World()
    world.gate.clear()
    waiting = [asyncio.create_task(world.read(ONE)) for _ in range(100)]
    await turns()
    waiting[0].cancel()
    world.gate.set()
    assert [one.user for one in await asyncio.gather(*waiting[1:])] == ["ada"] * 99
    assert world.looks == 1


@asynchronous
async def test_unknown_ids_cause_few_looks() -> None:
    world = World()
    for number in range(100):
        world.now += PAUSE / 50
        token = signed(rsa_key(), "RS256", f"made up {number}")
        assert await world.refused(token) == TOKEN_REQUIRED
    assert world.looks == 2
    assert (await world.read(ONE)).user == "ada"


@asynchronous
async def test_a_set_in_use_is_renewed_without_waiting() -> None:
    world = World()
    await world.read(ONE)
    world.now += FRESH
    world.content = key_set(jwk(rsa_key(), kid="one"), jwk(other_rsa_key(), kid="two"))
    assert isinstance(world.tokens.read(ONE), Identity)
    await eventually(lambda: world.keys.find("RS256", "two"))
    assert world.looks == 2


@asynchronous
async def test_a_login_that_is_away() -> None:
    world = World()
    world.content = OSError("away")
    assert await world.refused(ONE) == KEYS_UNAVAILABLE
    world.content = key_set(jwk(rsa_key(), kid="one"))
    assert await world.refused(ONE) == KEYS_UNAVAILABLE
    world.now += PAUSE
    await world.read(ONE)
    world.content = OSError("away again")
    world.now += STALE - 1
    assert (await world.read(ONE)).user == "ada", "what is known stays good for a day"
    world.now += 1
    assert await world.refused(ONE) == KEYS_UNAVAILABLE


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"keys": 5}', b"<html>", b"[" * 100_000, b"\xff", b'{"keys": {}}'],
)
def test_no_key_set(content: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_set(content)


@asynchronous
async def test_garbage_does_not_replace_keys() -> None:
    world = World()
    await world.read(ONE)
    world.content = b"<html>"
    world.now += FRESH
    await world.read(ONE)
    await eventually(lambda: world.looks == 2)
    await turns()
    assert (await world.read(ONE)).user == "ada"


def test_which_keys_of_a_set_are_used() -> None:
    good: list[dict[str, Any]] = [
        jwk(rsa_key(), kid="rsa", alg="RS256", use="sig"),
        jwk(ec_key(), kid="ec"),
        jwk(other_rsa_key(), kid="null", alg=None, use=None, key_ops=None),
    ]
    torn: list[Any] = [None, 5, [], "", "AA", "é", "A" * 2_000]
    bad: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        jwk(rsa_key(), kid="encryption", use="enc"),
        jwk(rsa_key(), kid="wrong", alg="ES256"),
        jwk(rsa_key(), kid="other", alg="RS512"),
        jwk(rsa_key(1024), kid="weak"),
        jwk(ec_key(ec.SECP384R1), kid="curve"),
        jwk(rsa_key(), kid="signing", key_ops=["sign"]),
        jwk(rsa_key(), kid="uses", key_ops=5),
        jwk(rsa_key(), kid="verifying", key_ops="verify"),
        jwk(rsa_key(), kid="use", use=["sig"]),
        {**jwk(rsa_key(), kid="torn"), "n": "!"},
        *[{**jwk(rsa_key(), kid="torn"), "n": some} for some in torn],
        *[{**jwk(rsa_key(), kid="torn"), "e": some} for some in torn],
        {**jwk(ec_key(), kid="torn"), "crv": None},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "nowhere"},
        {"kid": "nothing"},
        5,
        None,
    ]
    keys = read_set(key_set(*bad, *good))
    assert set(keys) == {("RS256", "rsa"), ("ES256", "ec"), ("RS256", "null")}
    assert read_set(key_set(*[{}] * MAX_KEYS, *good)) == {}


@asynchronous
async def test_tokens_without_an_id() -> None:
    world = World()
    assert (await world.read(signed(rsa_key(), "RS256"))).user == "ada"
    world.content = key_set(jwk(rsa_key(), kid="one"), jwk(other_rsa_key(), kid="two"))
    world.now += FRESH
    await world.keys.renew()
    world.now += PAUSE
    assert await world.refused(signed(rsa_key(), "RS256")) == TOKEN_REQUIRED, "which one?"
