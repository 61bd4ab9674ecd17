"""Tokens of devices that come from a file: each provider that is set up checks its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hocket.settings import load

if TYPE_CHECKING:
    from hocket.providers.base import Provider


class Tokens:
    """Checks them.

    Args:
        own: names of the app's own providers, which are not known here.

    Raises: UsageError for settings that are not possible.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        from hocket.providers.registry import ENTRIES, configured  # lazy: only an import needs it

        self._providers: dict[str, Provider] = {each.name: each for each in configured(load({}))}
        self._known = {*(entry.module for entry in ENTRIES), *own}
        self._unchecked: set[str] = set()

    def check(self, provider: str, token: str) -> str:
        """A token as it is stored. Raises ValueError that says what is wrong."""
        if (its := self._providers.get(provider)) is not None:
            return its.check(token)
        if provider not in self._known:
            raise ValueError(
                f"there is no provider {provider!r}; if your app has it, --provider {provider}"
            )
        if provider not in self._unchecked:
            self._unchecked.add(provider)
            print(
                f"{provider}: its tokens are not checked, as it is not set up here", file=sys.stderr
            )
        return token
