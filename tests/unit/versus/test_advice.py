"""Advice: monotone in what is asked for, and every reason explained."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.errors import UsageError
from hocket.versus.advice import advise, footprint, rank
from hocket.versus.answers import Answers, asked, complete, from_file, questions, rules
from hocket.versus.cells import rows
from hocket.versus.consulting import lacking
from hocket.versus.figures import NOTHING, Figures, places
from hocket.versus.platforms import CONTENDERS
from hocket.versus.scenarios import SCENARIOS
from tests.unit.versus.reports import results, stored

FIGURES = stored()
QUESTIONS = {question.name: question for question in questions()}


def answers() -> st.SearchStrategy[Answers]:
    """Any project."""
    return st.fixed_dictionaries({name: answer(name) for name in QUESTIONS})


def answer(name: str) -> st.SearchStrategy[Any]:
    question = QUESTIONS[name]
    if not question.values:
        return st.integers(0, 100 if name == "cpu_share" else 1_000_000)
    one = st.sampled_from(question.values)
    return st.lists(one, min_size=1, unique=True) if question.many else one


def figures() -> st.SearchStrategy[Figures]:
    """The stored report, and any other: the rules must hold whoever is better at what."""
    value = st.floats(0.01, 1e6)
    cells = [
        ("memory", ("idle_mib", "connection_kib")),
        ("chat", ("delivered_per_s", "p99_ms")),
        ("start", ("cold_ms",)),
        ("cpu", ("resize_per_s",)),
    ]
    made = st.fixed_dictionaries(
        {
            name: st.fixed_dictionaries(
                {key: st.fixed_dictionaries(dict.fromkeys(measures, value)) for key in CONTENDERS}
            )
            for name, measures in cells
        }
    )
    return st.just(FIGURES) | made.map(
        lambda found: Figures(
            rows(
                results({n: {k: [v] for k, v in each.items()} for n, each in found.items()}),
                SCENARIOS,
            )
        )
    )


def points(found: Answers, by: Figures) -> dict[str, float]:
    return {choice.key: choice.points for choice in rank(found, by)}


def places_of(found: Answers, by: Figures, key: str) -> int:
    return [choice.key for choice in rank(found, by) if choice.key != "mix"].index(key)


@settings(max_examples=60, deadline=None)
@given(answers(), figures(), st.integers(0, 100), st.integers(0, 100))
def test_more_work_for_the_processor_never_favours_node(
    project: Answers, by: Figures, one: int, other: int
) -> None:
    less, more = sorted((one, other))
    before, after = {**project, "cpu_share": less}, {**project, "cpu_share": more}
    assert points(after, by)["node"] <= points(before, by)["node"]
    for key in ("go", "hocket"):
        gap = points(after, by)["node"] - points(after, by)[key]
        assert gap <= points(before, by)["node"] - points(before, by)[key] + 1e-9
    assert places_of(after, by, "node") >= places_of(before, by, "node")


@settings(max_examples=60, deadline=None)
@given(answers(), figures(), st.integers(1, 1_000_000), st.integers(1, 1_000_000))
def test_a_smaller_memory_budget_never_favours_the_larger_footprint(
    project: Answers, by: Figures, one: int, other: int
) -> None:
    tight, wide = sorted((one, other))
    sizes = {key: footprint(key, project["connections"], by) or 0.0 for key in CONTENDERS}
    before = points({**project, "memory_mib": wide}, by)
    after = points({**project, "memory_mib": tight}, by)
    for smaller, larger in pairwise(sorted(CONTENDERS, key=lambda key: sizes[key])):
        gap = after[larger] - after[smaller]
        assert gap <= before[larger] - before[smaller] + 1e-9


@settings(max_examples=60, deadline=None)
@given(answers(), figures())
def test_every_reason_says_what_it_rests_on(project: Answers, by: Figures) -> None:
    ranking = rank(project, by)
    assert {choice.key for choice in ranking} >= set(CONTENDERS)
    for choice in ranking:
        assert choice.points == pytest.approx(
            sum(reason.points for reason in choice.reasons)
            - rules()["mix"]["cost"] * max(0, len(set(choice.parts.values())) - 1)
        )
        for reason in choice.reasons:
            assert reason.because
            assert reason.basis in by.rows or reason.basis.startswith(("judgement", "code", "size"))
        if choice.key == "mix":
            assert len(set(choice.parts.values())) > 1
            assert choice.talk


@settings(max_examples=60, deadline=None)
@given(answers(), st.sampled_from(CONTENDERS))
def test_who_was_not_measured_gains_nothing_by_it(project: Answers, unmeasured: str) -> None:
    found = results(
        {
            name: {key: [dict.fromkeys(measures, 10.0)] for key in CONTENDERS if key != unmeasured}
            for name, measures in {
                "memory": ("idle_mib", "connection_kib"),
                "chat": ("delivered_per_s", "p99_ms"),
                "start": ("cold_ms",),
            }.items()
        }
    )
    all_alike = points(project, Figures(rows(found, SCENARIOS)))
    nothing_known = points(project, Figures(()))
    changed = {key: all_alike[key] - nothing_known[key] for key in CONTENDERS}
    assert max(changed.values()) == pytest.approx(min(changed.values()))


def test_a_figure_of_nothing_breaks_nothing() -> None:
    none: dict[str, float] = {"idle_mib": 0.0, "connection_kib": -1.0}
    by = Figures(rows(results({"memory": {key: [none] for key in CONTENDERS}}), SCENARIOS))
    assert rank(complete({"connections": 50_000, "memory_mib": 64}), by)


def test_each_further_platform_of_a_mix_has_to_earn_its_cost() -> None:
    project = {"team": ["python", "typescript"], "front_end": "typescript", "integrations": "many"}
    found = rank(complete({**project, "connections": 50_000, "cpu_share": 50}), FIGURES)
    (mix,) = (choice for choice in found if choice.key == "mix")
    assert len(set(mix.parts.values())) == 2  # a third would do something better, for less than 3.5


def test_rules_without_figures_are_named() -> None:
    assert lacking(FIGURES) == ""
    few = Figures(rows(results({"start": {"go": [{"cold_ms": 3.0}]}}), SCENARIOS))
    assert "memory.connection_kib" in lacking(few)
    assert "start.cold_ms" not in lacking(few)


def test_every_rule_names_a_row_that_there_is() -> None:
    known = {f"{name}.{key}" for name, each in SCENARIOS.items() for key in each.measures}
    for criterion in rules()["criterion"]:
        assert criterion["basis"] in known or criterion["basis"].startswith("judgement")
        assert {key for key, _ in places(criterion["because"])} <= known
        for name in ("cell", "need"):
            assert criterion.get(name, "footprint") in {*known, "footprint"}


def test_the_stored_report_has_every_figure_that_advice_quotes() -> None:
    advice = advise(complete({"connections": 50_000, "cpu_share": 60, "memory_mib": 64}), FIGURES)
    said = [reason.text() for choice in advice.ranking for reason in choice.reasons]
    assert said
    assert not [line for line in said if NOTHING in line]


@pytest.mark.parametrize(
    ("project", "first"),
    [
        ({"team": ["python"], "connections": 50_000}, "hocket"),
        ({"team": ["typescript"], "front_end": "typescript", "integrations": "many"}, "node"),
        ({"team": ["go"], "deployment": "single-file", "connections": 0, "cpu_share": 60}, "go"),
        ({"team": ["python", "go"], "connections": 50_000, "cpu_share": 60}, "mix"),
    ],
)
def test_what_is_advised_to_whom(project: Answers, first: str) -> None:
    assert rank(complete(project), FIGURES)[0].key == first


def test_it_says_what_would_change_the_answer() -> None:
    project = complete({"team": "python", "connections": 50_000})
    advice = advise(project, FIGURES)
    assert advice.changes
    for change in advice.changes:
        name, _, rest = change.partition(" = ")
        other, _, best = rest.partition(" instead of ")
        given_now = {**project, name: QUESTIONS[name].checked(other.replace(",", "")
                     if not QUESTIONS[name].values else other)}  # fmt: skip
        assert rank(given_now, FIGURES)[0].name == best.partition(": ")[2]


@pytest.mark.parametrize(
    "given_answer",
    [
        {"connections": "many"},
        {"connections": -1},
        {"cpu_share": 101},
        {"team": "ruby"},
        {"team": []},
        {"deployment": "server,container"},
        {"connections": float("nan")},
    ],
)
def test_answers_that_are_none_are_refused(given_answer: Answers) -> None:
    with pytest.raises(UsageError, match=next(iter(given_answer))):
        complete(given_answer)


def test_answers_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "project.toml"
    path.write_text('connections = 500\nteam = ["go", "python"]\n')
    assert complete(from_file(path))["team"] == ["go", "python"]
    path.write_text("conections = 500\n")
    with pytest.raises(UsageError, match="'conections' is no question"):
        from_file(path)
    path.write_text("= 500\n")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        from_file(path)


def test_it_asks_until_there_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    said = iter(["lots", "500", *[""] * (len(QUESTIONS) - 1)])
    found = asked({}, lambda prompt: next(said))
    assert found["connections"] == 500
    assert found["team"] == ["python"]
    assert "connections is a number, not 'lots'" in capsys.readouterr().out
