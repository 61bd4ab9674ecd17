"""Which tokens are believed."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hocket.errors import (
    TOKEN_AUDIENCE,
    TOKEN_CLAIMS,
    TOKEN_EARLY,
    TOKEN_EXPIRED,
    TOKEN_ISSUER,
    TOKEN_REQUIRED,
    Denied,
    UsageError,
)
from hocket.identity.keyset import read_pem
from hocket.identity.model import Identity
from hocket.identity.tokens import MAX_TOKEN, Rules, Tokens, check_secret, make_token
from tests.unit.identity.signing import (
    NOW,
    SECRET,
    base64url,
    by_hand,
    claims,
    ec_key,
    hs256,
    other_rsa_key,
    pem,
    rsa_key,
    signed,
)


def reader(keys: dict[str, Any] | None = None, **rules: str) -> Tokens:
    keys = {"HS256": SECRET.encode()} if keys is None else keys
    return Tokens(keys, None, Rules(**rules), lambda: NOW)


def read(token: str, keys: dict[str, Any] | None = None, **rules: str) -> Identity:
    found = reader(keys, **rules).read(token)
    assert not isinstance(found, Coroutine)
    return found


def refused(token: str, keys: dict[str, Any] | None = None, **rules: str) -> str:
    with pytest.raises(Denied) as denied:
        reader(keys, **rules).read(token)
    return denied.value.code


def test_whom_a_token_names() -> None:
    found = read(hs256(role="admin"))
    assert (found.user, found.expires, found.how) == ("ada", NOW + 60, "token")
    assert found.claims["role"] == "admin"
    assert found.scopes == frozenset()


def test_tokens_that_we_make() -> None:
    rules = Rules("chat", "login")
    token = make_token(SECRET, "ada", NOW, 60, rules)
    assert read(token, audience="chat", issuer="login").user == "ada"
    assert read(make_token(SECRET, "ada", NOW, 60)).user == "ada"


@pytest.mark.parametrize(
    "token",
    [
        by_hand({"alg": "none"}, claims()),
        by_hand({"alg": "None"}, claims()),
        by_hand({"alg": "none"}, claims(), SECRET.encode()),
        by_hand({}, claims(), SECRET.encode()),
        by_hand({"alg": ["HS256"]}, claims(), SECRET.encode()),
        by_hand({"alg": "HS512"}, claims(), SECRET.encode()),
        by_hand({"alg": "HS256", "crit": ["exp"]}, claims(), SECRET.encode()),
        by_hand({"alg": "HS256", "crit": ["b64"], "b64": False}, claims(), SECRET.encode()),
        by_hand({"alg": "HS256", "kid": 5}, claims(), SECRET.encode()),
        by_hand({"alg": "HS256"}, ["ada"], SECRET.encode()),
        by_hand({"alg": "HS256"}, claims(), b"o" * 32),
        hs256()[:-2],
        hs256() + "A",
        " " + hs256(),
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        hs256(padding="x" * MAX_TOKEN),
        by_hand({"alg": "HS256"}, claims(), b""),
    ],
)
def test_what_no_key_of_ours_has_signed_is_no_token(token: str) -> None:
    assert refused(token) == TOKEN_REQUIRED


def test_nested_ever_deeper() -> None:
    deep = "[" * 3_000
    header = by_hand({}, {}).split(".")[0]
    assert refused(f"{header}.{deep}.x") == TOKEN_REQUIRED
    assert refused(f"{base64url(deep.encode())}.e30.x") == TOKEN_REQUIRED


def test_a_public_key_is_no_secret() -> None:
    """The confusion of HS256 and RS256: the public key, which everybody has, as the HMAC secret."""
    for key in (rsa_key(), ec_key()):
        forged = by_hand({"alg": "HS256"}, claims(), pem(key))
        assert refused(forged, read_pem(pem(key))) == TOKEN_REQUIRED
        assert refused(forged, {"HS256": SECRET.encode(), **read_pem(pem(key))}) == TOKEN_REQUIRED


def test_keys_are_used_with_their_own_algorithm() -> None:
    rs, es = read_pem(pem(rsa_key())), read_pem(pem(ec_key()))
    assert (list(rs), list(es)) == (["RS256"], ["ES256"])
    assert read(signed(rsa_key(), "RS256"), rs).user == "ada"
    assert read(signed(ec_key(), "ES256", "any"), es).user == "ada"
    for algorithm in ("RS384", "RS512", "PS256"):
        assert refused(signed(rsa_key(), algorithm), rs) == TOKEN_REQUIRED
    assert refused(signed(rsa_key(), "RS256"), es) == TOKEN_REQUIRED
    assert refused(signed(other_rsa_key(), "RS256"), rs) == TOKEN_REQUIRED
    assert refused(signed(ec_key(ec.SECP384R1), "ES384"), es) == TOKEN_REQUIRED
    assert refused(hs256(), rs) == TOKEN_REQUIRED


@pytest.mark.parametrize("content", [b"", b"no key", pem(rsa_key(1024)), pem(ec_key(ec.SECP384R1))])
def test_keys_that_are_none(content: bytes) -> None:
    with pytest.raises(UsageError):
        read_pem(content)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW}, TOKEN_EXPIRED),
        ({"exp": NOW - 1}, TOKEN_EXPIRED),
        ({"exp": 0}, TOKEN_EXPIRED),
        ({"nbf": NOW + 6}, TOKEN_EARLY),
        ({"exp": None}, TOKEN_CLAIMS),
        ({"exp": "soon"}, TOKEN_CLAIMS),
        ({"exp": True}, TOKEN_CLAIMS),
        ({"exp": math.nan}, TOKEN_CLAIMS),
        ({"exp": math.inf}, TOKEN_CLAIMS),
        ({"exp": 10**400}, TOKEN_CLAIMS),
        ({"exp": -1}, TOKEN_CLAIMS),
        ({"nbf": "now"}, TOKEN_CLAIMS),
        ({"sub": None}, TOKEN_CLAIMS),
        ({"sub": ""}, TOKEN_CLAIMS),
        ({"sub": 7}, TOKEN_CLAIMS),
        ({"sub": ["ada"]}, TOKEN_CLAIMS),
        ({"sub": "a" * 201}, TOKEN_CLAIMS),
        ({"sub": "\ud800"}, TOKEN_CLAIMS),  # which can neither be stored nor sent
        ({"aud": "other"}, TOKEN_AUDIENCE),
    ],
)
def test_what_a_token_of_ours_must_say(changes: dict[str, Any], code: str) -> None:
    assert refused(hs256(**changes)) == code


def test_a_clock_that_is_a_little_ahead() -> None:
    assert read(hs256(nbf=NOW + 5, iat=NOW + 100)).user == "ada"


def test_whom_a_token_is_for() -> None:
    for audience in ("chat", ["mail", "chat"]):
        assert read(hs256(aud=audience), audience="chat").user == "ada"
    others: list[Any] = [None, "mail", ["mail"], 5, [], ["chat", 5]]
    for other in others:
        assert refused(hs256(aud=other), audience="chat") == TOKEN_AUDIENCE


def test_who_a_token_is_from() -> None:
    assert read(hs256(iss="login"), issuer="login").user == "ada"
    assert read(hs256(iss="anybody")).user == "ada"
    for issuer in (None, "other", 5):
        assert refused(hs256(iss=issuer), issuer="login") == TOKEN_ISSUER


def test_a_secret_that_can_be_guessed() -> None:
    check_secret("é" * 16)
    with pytest.raises(UsageError, match="32 bytes"):
        check_secret("s" * 31)
