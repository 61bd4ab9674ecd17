"""Templates: variables, languages, and what they cannot be made to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from hocket.errors import UsageError
from hocket.notify.plurals import plural
from hocket.notify.templates import Rendered, TemplateError, Templates, digest_title, fall_back

FILE = """
title = "Hello {{ name }}"
body = '{{ n }} {{ n | plural(one="alert", other="alerts") }}'
html = "<b>{{ name }}</b>"

[de]
title = "Hallo {{ name }}"
body = '{{ n }} {{ n | plural(one="Meldung", other="Meldungen") }}'

[de-CH]
title = "Grüezi {{ name }}"

[pl]
body = '{{ n }} {{ n | plural(one="alert", few="alerty", many="alertów", other="alertu") }}'
"""


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    (tmp_path / "greeting.toml").write_text(FILE)
    (tmp_path / "notes.txt").write_text("no template")
    made = Templates()
    made.load(str(tmp_path))
    return made


@pytest.mark.parametrize(
    ("locale", "n", "title", "body"),
    [
        ("", 1, "Hello Ada", "1 alert"),
        ("en", 2, "Hello Ada", "2 alerts"),
        ("en-GB", 0, "Hello Ada", "0 alerts"),
        ("xx", 2, "Hello Ada", "2 alerts"),
        ("de", 1, "Hallo Ada", "1 Meldung"),
        ("de-AT", 2, "Hallo Ada", "2 Meldungen"),
        ("DE_ch", 2, "Grüezi Ada", "2 Meldungen"),
        ("pl", 1, "Hello Ada", "1 alert"),
        ("pl-PL", 3, "Hello Ada", "3 alerty"),
        ("pl", 12, "Hello Ada", "12 alertów"),
    ],
)
def test_a_reader_gets_the_nearest_language(
    templates: Templates, locale: str, n: int, title: str, body: str
) -> None:
    told = templates.render("greeting", {"name": "Ada", "n": n}, locale)
    assert (told.title, told.body) == (title, body)


def test_variables_are_values_and_never_templates(templates: Templates) -> None:
    evil = "{{ 7 * 7 }}{% for x in y %}<script>"
    told = templates.render("greeting", {"name": evil, "n": 1})
    assert told.title == f"Hello {evil}"
    assert told.html == "<b>{{ 7 * 7 }}{% for x in y %}&lt;script&gt;</b>"
    assert type(told.html) is str


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ text.__class__.__mro__ }}", "unsafe"),
        ("{{ text.__init__.__globals__ }}", "unsafe"),
        ("{{ ''['__class__'] }}", "unsafe"),
        ("{{ (text | attr('__class__')).__mro__ }}", "unsafe"),
        ("{{ '{0.__class__}'.format(text) }}", "unsafe"),
        ("{{ items.append(1) }}", "unsafe"),
        ("{{ text * 1000000000 }}", "is for numbers"),
        ("{{ items * 1000000000 }}", "is for numbers"),
        ("{{ 1000000000 * text }}", "is for numbers"),
        ("{{ '%1000000000d' % 1 }}", "is for numbers"),
        ("{{ 10 ** 100000 }}", "exponent"),
        ("{{ big ** big }}", "exponent"),
        ("{{ text.center(1000000000) }}", "unsafe"),
        ("{{ text.ljust(1000000000) }}", "unsafe"),
        ("{% for i in range(1000000000) %}{% endfor %}", "at most 10000 steps"),
        ("{% for i in range(9999) %}{{ text }}{% endfor %}", "longer than 20000 characters"),
        ("{% include 'x' %}", "no loader"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "steps"),
        ("{% for i in many %}{% for j in many if j < 0 %}{% endfor %}{% endfor %}", "steps"),
        ("{% for i in many %}{% set x = many | sort | length %}{% endfor %}", "steps"),
        ("{% for i in many recursive %}{{ loop(many) }}{% endfor %}", "steps|Recursion"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
            "{{ f(40) }}",
            "steps",
        ),
        ("{{ many | join(long) }}", "at most 200000 characters"),
        ("{{ long | replace('', long) }}", "at most 200000 characters"),
        ("{{ long.replace('', long) }}", "unsafe"),
        ("{{ ''.join(many) }}", "unsafe"),
        ("{{ many | tojson(indent=1000000000) }}", "unexpected keyword"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ n | plural(one='x') }}", "plural needs the form"),
        ("{{ text | plural(other='x') }}", "ValueError"),
    ],
)
def test_what_a_template_cannot_do(source: str, why: str) -> None:
    templates = Templates()
    templates.add("evil", body=source)
    variables = {
        "text": "kettle", "items": [1], "n": 3, "big": 10**14, "many": [*range(9999)],
        "long": "x" * 9999,
    }  # fmt: skip
    with pytest.raises(TemplateError, match=why):
        templates.render("evil", variables)


def test_what_a_template_can_do() -> None:
    """Each time: a text's steps are its own."""
    templates = Templates()
    templates.add(
        "list",
        body="{% for each in names | sort %}{{ loop.index }}/{{ loop.length }} {{ each | upper }}"
        "{{ ', ' if not loop.last }}{% else %}none{% endfor %}; {{ names | join('+') }}; "
        "{{ names | length }}; {{ 'a-b' | replace('-', ' ') }}; {{ names | tojson }}",
    )
    for _ in range(3):
        told = templates.render("list", {"names": ["b", "a"]})
        assert told.body == '1/2 A, 2/2 B; b+a; 2; a b; ["b", "a"]'
    assert templates.render("list", {"names": []}).body.startswith("none;")
    names = ["x"] * 1_000
    for _ in range(50):
        assert templates.render("list", {"names": names}).body.count("X") == 1_000


@pytest.mark.parametrize(
    "source", ["{{ 'x' | center(1000000000) }}", "{{ [1] | batch(99) }}", "{%"]
)
def test_what_is_no_template(source: str) -> None:
    with pytest.raises(UsageError, match="template evil: body: "):
        Templates().add("evil", body=source)


def test_what_is_not_there() -> None:
    with pytest.raises(TemplateError, match="there is no template 'x'"):
        Templates().render("x", {})
    with pytest.raises(UsageError, match="templates: there is no folder"):
        Templates().load("/nowhere")


@pytest.mark.parametrize("content", ["title = ", "title = 3", "colour = 'red'", "[de]\nx = 'y'"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(UsageError, match=r"bad\.toml: "):
        Templates().load(str(tmp_path))


def test_a_template_may_have_only_a_title() -> None:
    templates = Templates()
    templates.add("short", title="x")
    assert templates.render("short", {}) == Rendered("x", "", "")
    assert "short" in templates
    assert "other" not in templates


def test_a_template_of_one_s_own_replaces_the_file_s(templates: Templates) -> None:
    assert templates.render("greeting", {"name": "Ada", "n": 1}).title == "Hello Ada"
    templates.add("greeting", title="Oi {{ name }}")
    assert templates.render("greeting", {"name": "Ada", "n": 1}).title == "Oi Ada"


def test_the_title_of_a_digest_fills_in_the_count_and_nothing_else() -> None:
    assert digest_title("{count} new alerts", 3) == "3 new alerts"
    assert digest_title("{count.__class__} {0} {x} {{count}}", 3) == "{count.__class__} {0} {x} {3}"


def test_locales_fall_back_step_by_step() -> None:
    assert list(fall_back("zh-hant-tw")) == ["zh-hant-tw", "zh-hant", "zh", ""]
    assert list(fall_back("")) == [""]


@pytest.mark.parametrize(
    ("locale", "categories"),
    [
        ("en", {0: "other", 1: "one", 2: "other", -1: "one"}),
        ("fr", {0: "one", 1: "one", 2: "other"}),
        ("ja", {0: "other", 1: "other"}),
        ("ru", {1: "one", 2: "few", 5: "many", 11: "many", 21: "one", 22: "few", 112: "many"}),
        ("pl", {1: "one", 2: "few", 5: "many", 12: "many", 21: "many", 22: "few"}),
        ("cs", {1: "one", 4: "few", 5: "other"}),
        ("ar", {0: "zero", 1: "one", 2: "two", 3: "few", 11: "many", 100: "other", 103: "few"}),
        ("de-CH", {0: "other", 1: "one"}),
        ("xx", {0: "other", 1: "one"}),
        ("", {0: "other", 1: "one"}),
        ("hr", {1: "one", 2: "few", 5: "other", 11: "other", 12: "other", 21: "one", 22: "few"}),
        ("sr-Latn", {1: "one", 3: "few", 13: "other"}),
        ("sl", {1: "one", 2: "two", 3: "few", 5: "other", 101: "one", 102: "two", 104: "few"}),
        ("lt", {1: "one", 2: "few", 10: "other", 11: "other", 21: "one", 29: "few"}),
        ("lv", {0: "zero", 1: "one", 2: "other", 10: "zero", 11: "zero", 21: "one"}),
        ("ro", {0: "few", 1: "one", 2: "few", 20: "other", 101: "few", 120: "other"}),
        ("he", {1: "one", 2: "two", 3: "other", 10: "other"}),
        ("ga", {1: "one", 2: "two", 3: "few", 7: "many", 11: "other"}),
        ("mt", {0: "few", 1: "one", 2: "two", 10: "few", 11: "many", 20: "other"}),
        ("cy", {0: "zero", 1: "one", 2: "two", 3: "few", 4: "other", 6: "many"}),
        ("gd", {1: "one", 11: "one", 12: "two", 13: "few", 20: "other"}),
        ("br", {9: "few", 21: "one", 71: "other", 72: "other", 1_000_000: "many"}),
        ("fa", {0: "one", 1: "one", 2: "other"}),
        ("is", {1: "one", 11: "other", 21: "one"}),
        ("fil", {0: "one", 4: "other", 5: "one", 6: "other", 14: "other"}),
        ("es", {0: "other", 1: "one", 1_000_000: "many"}),
        ("pt", {0: "one", 1: "one", 2: "other"}),
        ("pt-PT", {0: "other", 1: "one", 2: "other"}),
    ],
)
def test_plurals_by_language(locale: str, categories: dict[int, str]) -> None:
    forms = {each: each for each in ("zero", "one", "two", "few", "many", "other")}
    assert {n: plural(locale, n, forms) for n in categories} == categories
    assert plural(locale, 1.5, forms) == "other"
