"""What devices are told fits, and is cut where nobody sees a broken character."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.providers.content import apns_key, cut, fit, short_key

FAMILY = "👨\u200d👩\u200d👧"


def make(title: str, body: str) -> dict[str, Any]:
    return {"title": title, "body": body, "data": "x" * 20}


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("kettle", 6, "kettle"),
        ("kettle", 5, "kett…"),
        ("a kettle", 3, "a…"),
        ("kettle", 1, "…"),
        ("kettle", 0, ""),
        ("cafe\u0301s", 5, "caf…"),  # e and its accent
        (f"a{FAMILY}b", 5, "a…"),
        ("a👍🏽b", 3, "a…"),  # a skin tone
        ("🇩🇪🇫🇷🇮🇹", 4, "🇩🇪…"),
        ("🇩🇪🇫🇷🇮🇹", 5, "🇩🇪🇫🇷…"),
        ("❤\ufe0fxyz", 2, "…"),
        ("각각각", 2, "각…"),
        ("\u1100\u1161\u11a8\u1100\u1161", 3, "…"),
    ],
)
def test_what_people_see_as_one_character_stays_whole(text: str, length: int, shown: str) -> None:
    assert cut(text, length) == shown


def test_the_body_is_cut_first_and_then_the_title() -> None:
    whole = len(fit(make, "Title", "Body", 10_000))
    assert json.loads(fit(make, "Title", "Body", whole)) == make("Title", "Body")
    assert json.loads(fit(make, "Title", "B" * 500, 100))["title"] == "Title"
    cut_body = json.loads(fit(make, "Title", "B" * 500, 100))["body"]
    assert cut_body.endswith("B…")
    cut_both = json.loads(fit(make, "T" * 500, "B" * 500, 100))
    assert cut_both["body"] == ""
    assert cut_both["title"].endswith("T…")


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(
        ValueError, match="data, url and icon take 52 bytes, and there is room for 50"
    ):
        fit(make, "T", "B", 50)


@hypothesis.settings(deadline=None)  # no test asks how fast a machine is
@given(st.text(max_size=300), st.text(max_size=300), st.integers(70, 700))
def test_it_always_fits_and_is_always_json(title: str, body: str, limit: int) -> None:
    made = fit(make, title, body, limit)
    assert len(made) <= limit
    told = json.loads(made)
    assert title.startswith(told["title"].removesuffix("…"))
    assert body.startswith(told["body"].removesuffix("…"))


@hypothesis.settings(deadline=None)  # no test asks how fast a machine is
@given(st.text(max_size=50), st.integers(0, 60))
def test_a_cut_text_is_no_longer_than_asked_for(text: str, length: int) -> None:
    shown = cut(text, length)
    assert len(shown) <= length or shown == text
    assert shown == text or len(text) > length


def test_a_key_that_is_too_long_becomes_one_that_is_always_the_same() -> None:
    assert apns_key("kettle") == "kettle"
    assert apns_key("k" * 64) == "k" * 64
    long = apns_key("k" * 65)
    assert len(long) == 64
    assert long == apns_key("k" * 65) != apns_key("k" * 66)
    assert apns_key("Küche").isascii()
    assert apns_key("a\nb").isalnum()
    assert len(short_key("x", False, 32)) == 32
