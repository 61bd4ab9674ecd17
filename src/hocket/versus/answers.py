"""What a project needs: the answers that advice rests on."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hocket.errors import UsageError

RULES = Path(__file__).with_name("advice.toml")
MOST = 1_000_000_000
Answers = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One thing that is asked: a number, one of some words, or several of them."""

    name: str
    ask: str
    default: Any
    tries: tuple[Any, ...]
    values: tuple[str, ...] = ()
    many: bool = False
    most: float = MOST

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def choice(self) -> str:
        """What may be answered, for people."""
        return ("some of " if self.many else "one of ") + ", ".join(self.values)

    def checked(self, given: Any) -> Any:
        """An answer from outside. Raises UsageError."""
        if not self.values:
            return self._number(given)
        words = given if isinstance(given, list) else str(given).replace(" ", "").split(",")
        few = len(words) == 1 or (self.many and words)
        if any(word not in self.values for word in words) or not few:
            raise UsageError(f"{self.name} is {self.choice}, not {given!r}")
        return words if self.many else words[0]

    def _number(self, given: Any) -> float:
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise UsageError(f"{self.name} is a number, not {given!r}") from None
        if not 0 <= number <= self.most:
            raise UsageError(f"{self.name} is from 0 to {self.most:g}, not {given!r}")
        return number


def rules() -> Mapping[str, Any]:
    """The table of questions and criteria."""
    return tomllib.loads(RULES.read_text())


def questions() -> list[Question]:
    return [
        Question(**{**each, "tries": tuple(each["tries"]), "values": tuple(each.get("values", ()))})
        for each in rules()["question"]
    ]


def from_file(path: Path) -> Answers:
    """Answers from a TOML file. Raises UsageError."""
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from None
    names = [question.name for question in questions()]
    for name in found:
        if name not in names:
            raise UsageError(f"{path}: {name!r} is no question; there are {', '.join(names)}")
    return found


def complete(given: Answers) -> Answers:
    """Checked, and with the defaults for the rest. Raises UsageError."""
    return {
        question.name: question.checked(given[question.name])
        if given.get(question.name) is not None
        else question.checked(question.default)
        for question in questions()
    }


def asked(given: Answers, read: Callable[[str], str]) -> Answers:
    """Ask for what is not given yet, until there is an answer; Enter takes the default."""
    found = dict(given)
    for question in questions():
        while question.name not in found:
            said = read(f"{_prompt(question)} ").strip()
            try:
                found[question.name] = question.checked(said or question.default)
            except UsageError as error:
                print(f"  {error}")
    return found


def _prompt(question: Question) -> str:
    default = ",".join(question.default) if question.many else question.default
    choice = f" ({question.choice})" if question.values else ""
    return f"{question.ask}{choice} [{default}]"
