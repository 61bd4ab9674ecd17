"""Which providers there are: those that have been given what they need."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import msgspec

from hocket.errors import UsageError
from hocket.providers.base import Provider
from hocket.settings import Settings, rows


class Entry(msgspec.Struct, frozen=True):
    """Where a provider is, and the settings that it needs."""

    module: str
    kind: str
    needs: tuple[str, ...]


ENTRIES: Final = (
    Entry("webpush", "WebPush", ("vapid_private_key", "vapid_subject")),
    Entry("fcm", "Fcm", ("fcm_credentials",)),
    Entry("apns", "Apns", ("apns_key", "apns_key_id", "apns_team", "apns_topic")),
    Entry("webhook", "Webhook", ("webhook_secret",)),
    Entry("email", "Email", ("email_server", "email_from")),
)


def configured(settings: Settings) -> list[Provider]:
    """A provider for every kind whose settings are there.

    Raises: UsageError when some of a kind's are missing or wrong, or its libraries are.
    """
    return [_make(entry, settings) for entry in ENTRIES if _is_wanted(entry, settings)]


def _is_wanted(entry: Entry, settings: Settings) -> bool:
    missing = [name for name in entry.needs if not getattr(settings, name)]
    if missing and len(missing) < len(entry.needs):
        variables = {row.name: row.variable for row in rows()}
        given = next(name for name in entry.needs if name not in missing)
        raise UsageError(f"{variables[given]} is set, and {variables[missing[0]]} is not")
    return not missing


def _make(entry: Entry, settings: Settings) -> Provider:
    try:
        # lazy: only those who push have the libraries
        module = import_module(f"hocket.providers.{entry.module}")
    except ImportError as error:
        raise UsageError(f"{entry.module} needs {error.name}: pip install 'hocket[push]'") from None
    provider: Provider = getattr(module, entry.kind)(settings)
    return provider
