"""What a program declares with decorators, looked at while it is declared: a mistake is said where
it was made, not to the first client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def check_function(function: Any, what: str) -> None:
    """Raises TypeError for what cannot be called, or yields where something is to be done.

    Args:
        what: it is to be, such as "a handler".
    """
    if not callable(function):
        raise TypeError(f"{what} is a function, not {function!r}")
    if _yields(called(function)):
        raise TypeError(
            f"{what} does its work and returns, and {name_of(function)} yields: nothing of it "
            "would run"
        )


def check_arguments(function: Any, what: str, *given: str) -> None:
    """Raises TypeError for a function that cannot be called with just these.

    Args:
        what: as for `check_function`.
        given: the names that they go by.
    """
    check_function(function, what)
    if not takes(function, *given):
        raise wrong_arguments(function, what, *given)


def takes(function: Callable[..., Any], *given: str) -> bool:
    """Whether it can be called with just these: as it says itself, or, of a decorated one, as what
    it wraps does. A decorator may add arguments, or leave some out.
    """
    for is_wrapped in (True, False):
        try:
            inspect.signature(function, follow_wrapped=is_wrapped).bind(*given)
        except TypeError:
            continue
        except ValueError:  # written in C: it says itself what it takes, when it is called
            pass
        return True
    return False


def wrong_arguments(function: Callable[..., Any], what: str, *given: str) -> TypeError:
    """That says what to write."""
    arguments = ", ".join(given)
    return TypeError(
        f"{what} is called with ({arguments}), which {name_of(function)}"
        f"{inspect.signature(function)} does not take: write def {what}({arguments})"
    )


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is called: behind a partial, an object with `__call__`."""
    if isinstance(function, functools.partial):
        return called(function.func)
    if not inspect.isroutine(function):
        method: Callable[..., Any] = type(function).__call__
        return called(method)
    return function


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """What really runs: behind all those, and a decorator."""
    unwrapped: Callable[..., Any] = inspect.unwrap(called(function))
    return unwrapped


def _yields(function: Callable[..., Any]) -> bool:
    """Whether what it gives is a generator, and nothing that can be awaited (types.coroutine)."""
    if inspect.isasyncgenfunction(function):
        return True
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return inspect.isgeneratorfunction(function) and not flags & inspect.CO_ITERABLE_COROUTINE


def name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
