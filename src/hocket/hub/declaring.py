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
    inner = underlying(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
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
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C: it says itself what it takes, when it is called
        return
    try:
        signature.bind(*given)
    except TypeError:
        raise wrong_arguments(function, what, *given) from None


def wrong_arguments(function: Callable[..., Any], what: str, *given: str) -> TypeError:
    """That says what to write."""
    arguments = ", ".join(given)
    return TypeError(
        f"{what} is called with ({arguments}), which {name_of(function)}"
        f"{inspect.signature(function)} does not take: write def {what}({arguments})"
    )


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """What really runs: behind a partial, a decorator, an object with `__call__`."""
    if isinstance(function, functools.partial):
        return underlying(function.func)
    if not inspect.isroutine(function):
        called: Callable[..., Any] = type(function).__call__
        return underlying(called)
    unwrapped: Callable[..., Any] = inspect.unwrap(function)
    return unwrapped


def name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
