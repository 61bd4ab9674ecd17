"""Jinja with bounds: what a template may do with variables that anybody can send."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_NUMBER: Final = 10**15
MAX_RANGE: Final = 10_000  # steps of a loop
# A few characters of a template that could become gigabytes of text.
STRETCHING_METHODS: Final = frozenset(
    ("center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill")
)
STRETCHING_FILTERS: Final = ("batch", "center", "format", "indent", "slice", "urlize", "wordwrap")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox; arithmetic is for numbers, and those stay small."""

    intercepted_binops = frozenset(("*", "**", "%", "<<"))

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


def make(autoescape: bool) -> Sandbox:
    """An environment. A variable that is missing is an error, unless `default` stands behind it."""
    environment = Sandbox(autoescape=autoescape, undefined=StrictUndefined, cache_size=0)
    for name in STRETCHING_FILTERS:
        del environment.filters[name]
    environment.globals = {"range": _range}
    return environment


def _range(*bounds: int) -> range:
    steps = range(*bounds)
    if len(steps) > MAX_RANGE:
        raise SecurityError(f"a loop has at most {MAX_RANGE} steps")
    return steps
