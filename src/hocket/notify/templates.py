"""Texts with variables, in several languages.

A template is a file `NAME.toml` in the folder of the setting `templates`, or `app.template`: the
texts `title`, `body` and `html` (for email) in Jinja, and a table for each further locale. A locale
falls back to its language and that to the top of the file: en-GB, en, default.

Templates come from those who run the server. Variables come from anybody: they are values and never
templates, `html` escapes them, and what a template does with them is bounded, in steps and length
(sandbox.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from hocket.errors import HocketError, UsageError
from hocket.notify.model import Notification
from hocket.notify.plurals import plural

if TYPE_CHECKING:
    from hocket.notify.sandbox import Pieces, Sandbox

MAX_TEXT: Final = 20_000  # characters of a title or body that is rendered
MAX_HTML: Final = 200_000
MAX_FILE: Final = 1_000_000  # bytes of a template's file
PARTS: Final = {"title": MAX_TEXT, "body": MAX_TEXT, "html": MAX_HTML}


class TemplateError(HocketError):
    """A notification's template does not exist, or cannot be rendered with its variables."""


class Rendered(msgspec.Struct, frozen=True):
    """The texts of a notification. `html` is "" where the template has none."""

    title: str
    body: str
    html: str


class Templates:
    """All templates of an app."""

    def __init__(self) -> None:
        self._environments: dict[tuple[bool, str], Sandbox] = {}
        self._parts: dict[tuple[str, str, str], str] = {}  # name, locale, part: source
        self._compiled: dict[tuple[str, str, str], Pieces] = {}

    def __contains__(self, name: str) -> bool:
        return any((name, "", part) in self._parts for part in PARTS)

    def add(
        self, name: str, *, title: str = "", body: str = "", html: str = "", locale: str = ""
    ) -> None:
        """Add a template, or one of its locales (`de`, `en-GB`; "" is what others fall back to).

        Raises: UsageError when it is no template.
        """
        for part, source in (("title", title), ("body", body), ("html", html)):
            if source:
                key = (name, _normal(locale), part)
                self._check(name, part, source)
                self._parts[key] = source
        self._compiled.clear()

    def load(self, folder: str) -> None:
        """Add every template in a folder. Raises UsageError."""
        if not Path(folder).is_dir():
            raise UsageError(f"templates: there is no folder {folder}")
        for path in sorted(Path(folder).glob("*.toml")):
            self._load_file(path)

    def _load_file(self, path: Path) -> None:
        try:
            if path.stat().st_size > MAX_FILE:
                raise UsageError(f"{path} is longer than {MAX_FILE} bytes")
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: {error}") from None
        locales = {key: value for key, value in content.items() if isinstance(value, dict)}
        top = {key: value for key, value in content.items() if key not in locales}
        for locale, parts in {"": top, **locales}.items():
            wrong = [
                key for key, value in parts.items() if key not in PARTS or type(value) is not str
            ]
            if wrong:
                raise UsageError(f"{path}: {wrong[0]} is none of title, body, html (texts)")
            self.add(path.stem, locale=locale, **parts)

    def render(self, name: str, variables: Mapping[str, Any], locale: str = "") -> Rendered:
        """The texts for one reader.

        Raises: TemplateError when there is no such template, a variable is missing, or a text gets
            too long, or takes too many steps.
        """
        if name not in self:
            raise TemplateError(f"there is no template {name!r}")
        texts = [self._render(name, part, variables, _normal(locale)) for part in PARTS]
        return Rendered(*texts)

    def fill_in(self, notification: Notification) -> Notification:
        """With what its template says to those who have said no language: for inboxes and whoever
        is connected.

        Raises: TemplateError.
        """
        made = self.render(notification.template, notification.variables)
        return replace(
            notification,
            title=made.title or notification.title,
            body=made.body or notification.body,
        )

    def _render(self, name: str, part: str, variables: Mapping[str, Any], locale: str) -> str:
        template = self._template(name, part, locale)
        if template is None:
            return ""
        pieces, length = [], 0
        try:
            for piece in template(variables):
                pieces.append(piece)
                length += len(piece)
                if length > PARTS[part]:
                    raise TemplateError(f"{name}: {part} gets longer than {PARTS[part]} characters")
        except TemplateError:
            raise
        except (
            Exception
        ) as error:  # whatever a template does with variables that it does not expect
            raise TemplateError(f"{name}: {part}: {type(error).__name__}: {error}") from None
        return "".join(pieces)

    def _template(self, name: str, part: str, locale: str) -> Pieces | None:
        for each in fall_back(locale):
            key = (name, each, part)
            if key in self._parts:
                if key not in self._compiled:
                    environment = self._environment(part == "html", each)
                    self._compiled[key] = environment.prepare(self._parts[key])
                return self._compiled[key]
        return None

    def _check(self, name: str, part: str, source: str) -> None:
        try:
            self._environment(part == "html", "").prepare(source)
        except UsageError:
            raise
        except Exception as error:  # jinja2's own, and those of its lexer and of Python's compiler
            raise UsageError(f"template {name}: {part}: {error}") from None

    def _environment(self, html: bool, locale: str) -> Sandbox:
        found = self._environments.get((html, locale))
        if found is None:
            found = self._environments[html, locale] = _make_environment(html, locale)
        return found


def digest_title(title: str, count: int) -> str:
    """The title of a digest, `{count}` filled in. Nothing else in it means anything."""
    return title.replace("{count}", str(count))


def fall_back(locale: str) -> Iterator[str]:
    """A locale, what it falls back to, and last "": `en-gb`, `en`, ``."""
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]
    yield ""


def _normal(locale: str) -> str:
    return locale.replace("_", "-").lower()


def _make_environment(html: bool, locale: str) -> Sandbox:
    try:
        from hocket.notify.sandbox import make  # lazy: only apps with templates pay for Jinja
    except ImportError:
        raise UsageError("templates need jinja2: pip install 'hocket[push]'") from None

    def plural_filter(number: Any, **forms: str) -> str:
        return plural(locale, number, forms)

    environment = make(autoescape=html)
    environment.filters["plural"] = plural_filter
    return environment
