"""Which form of a word goes with a number: `1 alert`, `2 alerts`, `5 powiadomień`.

Source: Unicode CLDR, language plural rules, for whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Rule = Callable[[int], str]


def _english(n: int) -> str:
    return "one" if n == 1 else "other"


def _french(n: int) -> str:
    return "one" if n in (0, 1) else "other"


def _none(n: int) -> str:
    return "other"


def _east_slavic(n: int) -> str:
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    return "few" if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else "many"


def _polish(n: int) -> str:
    if n == 1:
        return "one"
    return "few" if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else "many"


def _czech(n: int) -> str:
    return "one" if n == 1 else "few" if n in (2, 3, 4) else "other"


def _arabic(n: int) -> str:
    if n in (0, 1, 2):
        return ("zero", "one", "two")[n]
    if 3 <= n % 100 <= 10:
        return "few"
    return "many" if n % 100 >= 11 else "other"


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("id", "ja", "ko", "ms", "th", "vi", "zh"), _none),
    **dict.fromkeys(("fr", "hi", "pt"), _french),
    **dict.fromkeys(("be", "ru", "uk"), _east_slavic),
    **dict.fromkeys(("cs", "sk"), _czech),
    "pl": _polish,
    "ar": _arabic,
}


def plural(locale: str, number: float, forms: dict[str, str]) -> str:
    """The form for a number: `forms` by CLDR category (zero, one, two, few, many, other); for a
    category that is missing, `other`.

    Raises: ValueError without `other`.
    """
    if "other" not in forms:
        raise ValueError("plural needs the form `other`")
    rule = RULES.get(locale.partition("-")[0].lower(), _english)
    category = rule(abs(int(number))) if number == int(number) else "other"
    return forms.get(category, forms["other"])
