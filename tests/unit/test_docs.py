"""The documentation is true: made pages are up to date, examples run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import hocket
from hocket import errors
from hocket.notify import service, templates
from hocket.store import base

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs/make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_made_pages_are_up_to_date() -> None:
    stale = [page.name for page, text in make().pages().items() if page.read_text() != text]
    assert not stale, f"run `make docs`: {stale}"


@pytest.mark.parametrize("example", ["http_hello.py", "chat.py"])
def test_the_readme_shows_the_examples_that_run(example: str) -> None:
    code = (ROOT / "examples" / example).read_text()
    shown = code.split('"""', 2)[2].strip()
    assert f"```python\n{shown}\n```" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tutorial_installs_what_its_commands_need() -> None:
    page = (ROOT / "docs/tutorial/first-chat.md").read_text()
    assert "--reload" in page
    assert "pip install '.[reload]'" in page


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text().count("\n") < 150


def test_every_error_and_reason_has_its_place() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    names = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.HocketError)
    ]
    reasons = [
        value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)
    ]
    assert len(names) > 8
    assert len(reasons) > 8
    assert [name for name in names if name not in page] == []
    assert [reason for reason in reasons if f"`{reason}`" not in page] == []


@pytest.mark.parametrize("module", [base, service, templates])
def test_what_notifying_raises_has_its_place(module: ModuleType) -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, errors.HocketError)
    ]
    assert names
    sections = page.split("\n### ")
    for name in names:
        own = [each for each in sections if name in each.splitlines()[0]]
        assert own, name
        codes = re.findall(r"`([a-z]+-?[a-z]+)`", vars(module)[name].__doc__ or "")
        assert [code for code in codes if code != "code" and f"`{code}`" not in own[0]] == []


def test_the_public_names_are_the_documented_ones() -> None:
    page = (ROOT / "docs/reference/api.md").read_text()
    assert [name for name in hocket.__all__ if f"\n## {name}\n" not in page] == []
    there = {name for name in vars(hocket) if not name.startswith("_") and name[0].isupper()}
    later = set(hocket._LATER)
    assert all(getattr(hocket, name).__name__ == name for name in later)
    assert set(hocket.__all__) == there - {"TYPE_CHECKING"} | later


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {hocket.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "ARCHITECTURE.md").read_text()
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = [re.split(r"[^A-Za-z0-9_-]", name)[0] for name in wanted]
    assert [name for name in names if f"| {name}" not in page] == []
