"""API keys."""

from __future__ import annotations

import hashlib
import re

import pytest

from hocket.errors import UsageError
from hocket.identity.keys import fits, make_key, split


def test_a_key_is_shown_once_and_its_hash_is_kept() -> None:
    text, row = make_key("billing", ["read", "notify", "read"], 5.0)
    assert re.fullmatch(r"hk_[0-9a-f]{16}_[\w-]{43}", text)
    id, secret = split(text) or ("", "")
    assert (row.id, row.name, row.scopes, row.created) == (id, "billing", ("notify", "read"), 5.0)
    assert row.hash == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(row)
    assert make_key("", [], 0.0)[1].scopes == ("*",)


def test_which_secret_fits() -> None:
    (mine, row), (other, _) = make_key("", [], 0.0), make_key("", [], 0.0)
    assert fits(row, (split(mine) or ("", ""))[1])
    assert not fits(row, (split(other) or ("", ""))[1])
    assert not fits(row, "")
    assert not fits(None, (split(mine) or ("", ""))[1])


@pytest.mark.parametrize(
    "text",
    ["", "hk_", "hk__", "hk_0123456789abcdef_", "hk_0123456789ABCDEF_" + "a" * 43,
     "hk_0123456789abcdef_" + "a" * 44, "hk_0123456789abcdef_" + "a" * 43 + "\n", "x" * 10_000],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    assert split(text) is None


def test_what_a_key_cannot_be_made_with() -> None:
    with pytest.raises(UsageError, match="no scope 'all'"):
        make_key("", ["all"], 0.0)
    with pytest.raises(UsageError, match="printable"):
        make_key("two\nlines", [], 0.0)
