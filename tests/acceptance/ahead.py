"""Long programs that mostly wait, run a few at a time ahead of the tests that ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def ahead(
    request: pytest.FixtureRequest, name: str, run: Callable[[str], Any], at_a_time: int
) -> Iterator[dict[str, Future[Any]]]:
    """Run what the selected tests of a module are parametrized with as `name`, in their order."""
    wanted = [
        str(item.callspec.params[name])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and name in getattr(getattr(item, "callspec", None), "params", {})
    ]
    with ThreadPoolExecutor(at_a_time) as pool:
        yield {each: pool.submit(run, each) for each in dict.fromkeys(wanted)}
        pool.shutdown(cancel_futures=True)
