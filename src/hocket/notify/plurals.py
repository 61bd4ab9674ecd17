"""Which form of a word goes with a number: `1 alert`, `2 alerts`, `5 powiadomień`.

Source: Unicode CLDR 48, language plural rules (UTS 35 part 3, section 5), for whole numbers. Their
conditions are data, as CLDR writes them: `n % 10 = 2..4 and n % 100 != 12..14`.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_ONE: Final = "n = 1"
_SOME: Final = "n % 10 = 2..4 and n % 100 != 12..14"  # of Slavic languages
_MILLIONS: Final = "n != 0 and n % 1000000 = 0"

# Languages, and when which category is the right one; the first that holds, else `other`. Those
# that CLDR has no rules for, and those that are not here, have English's.
_RULES: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    (
        "bm bo dz hnj id ig ii in ja jbo jv jw kde kea km ko lkt lo ms my nqo osa sah ses sg su th "
        "to tpi wo yo yue zh",
        {},
    ),
    (
        "ak am as bho bn csw doi fa ff gu guw hi hy kab kn kok ln mg nso pa pcm si tg ti vi wa zu",
        {"one": "n = 0..1"},
    ),
    ("fr pt", {"one": "n = 0..1", "many": _MILLIONS}),
    (
        "ca es gl it lld scn vec pt-pt pt-ao pt-ch pt-cv pt-gq pt-gw pt-lu pt-mo pt-mz pt-st pt-tl",
        {"one": _ONE, "many": _MILLIONS},
    ),
    (
        "be ru uk",
        {
            "one": "n % 10 = 1 and n % 100 != 11",
            "few": _SOME,
            "many": "n % 10 = 0 or n % 10 = 5..9 or n % 100 = 11..14",
        },
    ),
    (
        "pl",
        {
            "one": _ONE,
            "few": _SOME,
            "many": "n % 10 = 0..1 or n % 10 = 5..9 or n % 100 = 12..14",
        },
    ),
    ("bs hr sh sr", {"one": "n % 10 = 1 and n % 100 != 11", "few": _SOME}),
    ("cs sk", {"one": _ONE, "few": "n = 2..4"}),
    ("dsb hsb sl", {"one": "n % 100 = 1", "two": "n % 100 = 2", "few": "n % 100 = 3..4"}),
    ("is mk", {"one": "n % 10 = 1 and n % 100 != 11"}),
    (
        "lt",
        {
            "one": "n % 10 = 1 and n % 100 != 11..19",
            "few": "n % 10 = 2..9 and n % 100 != 11..19",
        },
    ),
    (
        "sgs",
        {
            "one": "n % 10 = 1 and n % 100 != 11",
            "two": "n = 2",
            "few": "n % 10 = 2..9 and n % 100 != 11..19",
        },
    ),
    (
        "lv prg",
        {
            "zero": "n % 10 = 0 or n % 100 = 11..19",
            "one": "n % 10 = 1 and n % 100 != 11",
        },
    ),
    ("mo ro", {"one": _ONE, "few": "n = 0 or n % 100 = 1..19"}),
    ("he iu iw naq sat se sma smi smj smn sms", {"one": _ONE, "two": "n = 2"}),
    (
        "ar ars",
        {
            "zero": "n = 0",
            "one": _ONE,
            "two": "n = 2",
            "few": "n % 100 = 3..10",
            "many": "n % 100 = 11..99",
        },
    ),
    (
        "mt",
        {
            "one": _ONE,
            "two": "n = 2",
            "few": "n = 0 or n % 100 = 3..10",
            "many": "n % 100 = 11..19",
        },
    ),
    ("ga", {"one": _ONE, "two": "n = 2", "few": "n = 3..6", "many": "n = 7..10"}),
    ("gd", {"one": "n = 1,11", "two": "n = 2,12", "few": "n = 3..10,13..19"}),
    ("gv", {"one": "n % 10 = 1", "two": "n % 10 = 2", "few": "n % 100 = 0,20,40,60,80"}),
    ("cy", {"zero": "n = 0", "one": _ONE, "two": "n = 2", "few": "n = 3", "many": "n = 6"}),
    (
        "br",
        {
            "one": "n % 10 = 1 and n % 100 != 11,71,91",
            "two": "n % 10 = 2 and n % 100 != 12,72,92",
            "few": "n % 10 = 3..4,9 and n % 100 != 10..19,70..79,90..99",
            "many": _MILLIONS,
        },
    ),
    (
        "kw",
        {
            "zero": "n = 0",
            "one": _ONE,
            "two": "n % 100 = 2,22,42,62,82 or n % 1000 = 0 and n % 100000 = "
            "1000..20000,40000,60000,80000 or n != 0 and n % 1000000 = 100000",
            "few": "n % 100 = 3,23,43,63,83",
            "many": "n % 100 = 1,21,41,61,81",
        },
    ),
    ("ceb fil tl", {"one": "n = 1..3 or n % 10 != 4,6,9"}),
    ("blo cv ksh lag", {"zero": "n = 0", "one": _ONE}),
    ("shi", {"one": "n = 0..1", "few": "n = 2..10"}),
    ("tzm", {"one": "n = 0..1 or n = 11..99"}),
)
_OF: Final = {language: rule for languages, rule in _RULES for language in languages.split()}
_ENGLISH: Final = {"one": _ONE}


def plural(locale: str, number: float, forms: dict[str, str]) -> str:
    """The form for a number: `forms` by CLDR category (zero, one, two, few, many, other); for a
    category that is missing, `other`.

    Raises: ValueError without `other`.
    """
    if "other" not in forms:
        raise ValueError("plural needs the form `other`")
    if number != int(number):
        return forms["other"]
    locale = locale.lower()
    rule = _OF.get(locale) or _OF.get(locale.partition("-")[0], _ENGLISH)
    whole = abs(int(number))
    found = (category for category, condition in rule.items() if _holds(condition, whole))
    return forms.get(next(found, "other"), forms["other"])


def _holds(condition: str, n: int) -> bool:
    return any(
        all(_is_so(relation, n) for relation in part.split(" and "))
        for part in condition.split(" or ")
    )


def _is_so(relation: str, n: int) -> bool:
    """Whether `n = 1`, `n % 10 != 4,6..9` or the like is so."""
    modulus, wanted, ranges = _parsed(relation)
    n = n % modulus if modulus else n
    return any(low <= n <= high for low, high in ranges) == wanted


@cache
def _parsed(relation: str) -> tuple[int, bool, tuple[tuple[int, int], ...]]:
    """The modulus (0: none), whether one of the ranges is to hold, and the ranges."""
    left, sign, right = relation.rpartition(" != " if "!=" in relation else " = ")
    modulus = int(left.partition("%")[2] or 0)
    ends = [each.partition("..") for each in right.split(",")]
    return modulus, "!" not in sign, tuple((int(low), int(high or low)) for low, _, high in ends)
