"""Which platform for a project: points by the rules of advice.toml and the figures of a report.

Pure: answers and figures in, a ranking with its reasons out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import log2
from typing import Any

from hocket.versus.answers import Answers, Question, questions, rules
from hocket.versus.figures import Figures
from hocket.versus.platforms import CONTENDERS, PLATFORMS

Points = dict[str, float]


@dataclass(frozen=True)
class Reason:
    """What a criterion gives a platform; `basis` is a cell of the report, or says judgement."""

    criterion: str
    part: str
    platform: str
    points: float
    because: str
    basis: str

    def text(self) -> str:
        return f"{self.points:+.1f} {self.criterion}: {self.because} [{self.basis}]"


@dataclass(frozen=True)
class Choice:
    """One line of the ranking: a platform, or a mix with a platform for each part."""

    key: str
    name: str
    points: float
    reasons: tuple[Reason, ...]
    parts: Mapping[str, str] = field(default_factory=dict)  # part: platform
    talk: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advice:
    """The ranking, best first, and what would change its first line."""

    ranking: tuple[Choice, ...]
    changes: tuple[str, ...]


def advise(answers: Answers, figures: Figures) -> Advice:
    """`answers` must be complete."""
    ranking = rank(answers, figures)
    return Advice(tuple(ranking), tuple(changes(answers, figures, ranking[0])))


def rank(answers: Answers, figures: Figures) -> list[Choice]:
    table = rules()
    reasons = [
        reason
        for criterion in table["criterion"]
        for reason in weigh(criterion, answers, figures)
        if reason.points
    ]
    choices = [_alone(key, reasons) for key in CONTENDERS]
    if mix := _mix(table, choices):
        choices.append(mix)
    return sorted(choices, key=lambda choice: -choice.points)


def weigh(criterion: Mapping[str, Any], answers: Answers, figures: Figures) -> Iterable[Reason]:
    """What one criterion gives to each platform."""
    answer = answers.get(criterion.get("question", ""))
    points = _points(criterion, answer, answers, figures)
    for key in CONTENDERS:
        yield Reason(
            criterion["name"],
            criterion["part"],
            key,
            points.get(key, 0.0),
            figures.filled(criterion["because"], key),
            criterion["basis"],
        )


def _points(
    criterion: Mapping[str, Any], answer: Any, answers: Answers, figures: Figures
) -> Points:
    if "need" in criterion:
        return _needed(criterion, float(answer), answers, figures)
    if "cell" in criterion:
        return _compared(criterion, _step(criterion["steps"], answer) or 0.0, figures)
    if "steps" in criterion:
        return _step(criterion["steps"], answer) or {}
    if answer is None:  # asks nothing: holds always
        return dict(criterion["points"])
    words = answer if isinstance(answer, list) else [answer]
    given = [criterion["points"].get(word, {}) for word in words]
    return {key: max(each.get(key, 0.0) for each in given) for key in CONTENDERS}


def _step(steps: list[Any], answer: float) -> Any:
    """The last step that is reached."""
    reached = [worth for threshold, worth in steps if answer >= threshold]
    return reached[-1] if reached else None


def _compared(criterion: Mapping[str, Any], weight: float, figures: Figures) -> Points:
    """Each doubling over the best costs `weight`, up to `most` doublings."""
    if not weight:
        return {}
    values = {key: figures.value(criterion["cell"], key) for key in CONTENDERS}
    known = {key: max(value, LEAST) for key, value in values.items() if value is not None}
    best = min(known.values(), default=LEAST)
    return _for_all(
        {key: -weight * min(log2(value / best), criterion["most"]) for key, value in known.items()}
    )


def _needed(
    criterion: Mapping[str, Any], need: float, answers: Answers, figures: Figures
) -> Points:
    """Each doubling that a platform is away from what is needed costs `weight`."""
    if not need:
        return {}
    found: Points = {}
    for key in CONTENDERS:
        value = _measured(criterion["need"], key, answers, figures)
        if value is not None:
            value = max(value, LEAST)
            away = need / value if criterion["need"] in RATES else value / need
            found[key] = -criterion["weight"] * max(0.0, log2(away))
    return _for_all(found)


def _for_all(found: Points) -> Points:
    """Whoever was not measured is taken for no better than the worst of those that were."""
    return {key: found.get(key, min(found.values())) for key in CONTENDERS} if found else {}


LEAST = 0.01  # what a figure counts as that came out as nothing


def needed() -> list[str]:
    """The rows of a report that the rules reckon with."""
    named = [each.get("cell") or each.get("need") for each in rules()["criterion"]]
    keys = [FOOTPRINT if name == "footprint" else (name,) for name in named if name]
    return sorted({key for several in keys for key in several})


FOOTPRINT = ("memory.idle_mib", "memory.connection_kib")
RATES = {"chat.delivered_per_s"}  # where more is better


def _measured(what: str, key: str, answers: Answers, figures: Figures) -> float | None:
    if what != "footprint":
        return figures.value(what, key)
    return footprint(key, answers["connections"], figures)


def footprint(key: str, connections: float, figures: Figures) -> float | None:
    """MiB of a server with so many connections. None where it was not measured."""
    idle, each = (figures.value(cell, key) for cell in FOOTPRINT)
    return None if idle is None or each is None else idle + connections * each / 1024


def _alone(key: str, reasons: Iterable[Reason]) -> Choice:
    mine = tuple(reason for reason in reasons if reason.platform == key)
    return Choice(key, PLATFORMS[key].name, sum(reason.points for reason in mine), mine)


def _mix(table: Mapping[str, Any], choices: list[Choice]) -> Choice | None:
    """The best of all mixes of two and of three platforms."""
    base = max(choices, key=lambda choice: choice.points)
    others = [choice for choice in choices if choice is not base]
    several = [_mixed(table, base, some) for n in (1, 2) for some in combinations(others, n)]
    mixes = [mix for mix in several if mix]
    return max(mixes, key=lambda mix: mix.points) if mixes else None


def _mixed(table: Mapping[str, Any], base: Choice, others: Sequence[Choice]) -> Choice | None:
    """The best platform as it is, but for parts that one of the others does much better. None where
    nobody else does any.
    """
    choices = {choice.key: choice for choice in (base, *others)}
    parts, reasons, points = {}, [], 0.0
    for part in table["mix"]["parts"]:
        scores = {key: _part(choice, part) for key, choice in choices.items()}
        best = max(scores, key=lambda key: (scores[key], key == base.key))
        if scores[best] - scores[base.key] < table["mix"]["least"]:
            best = base.key
        mine = [reason for reason in choices[best].reasons if reason.part == part]
        if mine or best == base.key:
            parts[part] = best
        reasons += mine
        points += scores[best]
    platforms = sorted(set(parts.values()))
    if len(platforms) < 2:
        return None
    points -= table["mix"]["cost"] * (len(platforms) - 1)
    name = " and ".join(PLATFORMS[key].name for key in CONTENDERS if key in platforms)
    talk = [table["talk"]["-".join(pair)] for pair in combinations(platforms, 2)]
    return Choice("mix", f"A mix: {name}", points, tuple(reasons), parts, tuple(talk))


def _part(choice: Choice, part: str) -> float:
    return sum(reason.points for reason in choice.reasons if reason.part == part)


def changes(answers: Answers, figures: Figures, first: Choice) -> Iterable[str]:
    """For each question the nearest other answer that puts another choice first."""
    for question in questions():
        for other in _nearest(question, answers[question.name]):
            best = rank({**answers, question.name: other}, figures)[0]
            if best.name != first.name:
                yield f"{question.name} = {_said(other)} instead of " \
                      f"{_said(answers[question.name])}: {best.name}"  # fmt: skip
                break


def _nearest(question: Question, answer: Any) -> list[Any]:
    others = [each for each in question.tries if each != answer]
    if question.values:
        return others
    return sorted(others, key=lambda each: abs(log2((each + 1) / (answer + 1))))


def _said(answer: Any) -> str:
    if isinstance(answer, list):
        return ",".join(answer)
    return f"{answer:,.0f}" if isinstance(answer, int | float) else str(answer)
