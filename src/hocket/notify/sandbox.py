"""Jinja with bounds: what a template may do with variables that anybody can send.

Work is counted, not timed, so that what is rendered does not depend on how busy the machine is:
turns of a loop, calls, and the items that filters are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, nodes, pass_environment, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import do_replace, sync_do_join
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import htmlsafe_json_dumps

Pieces = Callable[[Mapping[str, Any]], Iterator[str]]  # of a text, made one after the other

MAX_STEPS: Final = 100_000  # while one text is rendered
MAX_GROWN: Final = 200_000  # characters that a filter may make of a few
MAX_NUMBER: Final = 10**15
MAX_RANGE: Final = 10_000  # steps of a loop
CALL: Final = 10  # steps
CHARACTERS: Final = 100  # of a text that count as one item
# A few characters of a template that could become gigabytes of text.
STRETCHING_METHODS: Final = frozenset(
    ("center", "expandtabs", "format", "format_map", "join", "ljust", "replace", "rjust", "zfill")
)
STRETCHING_FILTERS: Final = ("batch", "center", "format", "indent", "slice", "urlize", "wordwrap")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox; arithmetic is for numbers, and those stay small."""

    intercepted_binops = frozenset(("*", "**", "%", "<<"))
    steps = 0

    def prepare(self, source: str) -> Pieces:
        """A template, ready to be rendered, which raises whatever a template can. Raises jinja2's
        errors and Python's.
        """
        template = self.from_string(source)

        def pieces(variables: Mapping[str, Any]) -> Iterator[str]:
            self.steps = 0
            return template.generate(variables)

        return pieces

    def step(self, count: int = 1) -> None:
        """So much was done."""
        self.steps += count
        if self.steps > MAX_STEPS:
            raise SecurityError(f"a text takes at most {MAX_STEPS} steps")

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        __self.step(CALL)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if not isinstance(side, int | float) or abs(side) > MAX_NUMBER:
                raise SecurityError(f"{operator} is for numbers up to {MAX_NUMBER:.0e}")
        if operator == "**" and abs(right) > 10:
            raise SecurityError("an exponent is at most 10")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in STRETCHING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """As it is written, with every loop and filter counted."""
        template = super()._parse(source, name, filename)
        for used in list(template.find_all(nodes.Filter)):
            if used.node is not None:
                used.node = _through("counted", used.node)
        for loop in template.find_all(nodes.For):
            loop.iter = _through("steps", loop.iter)
        return template


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def make(autoescape: bool) -> Sandbox:
    """An environment. A variable that is missing is an error, unless `default` stands behind it."""
    environment = Sandbox(autoescape=autoescape, undefined=StrictUndefined, cache_size=0)
    for name in STRETCHING_FILTERS:
        del environment.filters[name]
    environment.filters |= {
        "counted": _counted,
        "steps": _steps,
        "join": _join,
        "replace": _replace,
        "tojson": lambda value: htmlsafe_json_dumps(value),
    }
    environment.globals = {"range": _range}
    return environment


def _range(*bounds: int) -> range:
    steps = range(*bounds)
    if len(steps) > MAX_RANGE:
        raise SecurityError(f"a loop has at most {MAX_RANGE} steps")
    return steps


@pass_environment
def _steps(environment: Sandbox, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        environment.step()
        yield item


@pass_environment
def _counted(environment: Sandbox, value: Any) -> Any:
    if isinstance(value, str):
        environment.step(1 + len(value) // CHARACTERS)
    elif isinstance(value, list | tuple | dict | range):
        environment.step(1 + len(value))
    else:
        environment.step()
    return value


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: Any = "", attribute: Any = None) -> Any:
    items = list(value)
    _check_growth(len(items) * len(str(d)))
    return sync_do_join(context, items, d, attribute)


@pass_eval_context
def _replace(context: EvalContext, s: Any, old: Any, new: Any, count: int | None = None) -> Any:
    _check_growth(str(s).count(str(old)) * len(str(new)))
    return do_replace(context, s, old, new, count)


def _check_growth(characters: int) -> None:
    if characters > MAX_GROWN:
        raise SecurityError(f"a filter makes at most {MAX_GROWN} characters")
