"""The REST API: devices, topics, notifications, inbox, preferences; a table of endpoints."""

from __future__ import annotations

from hocket.app import App


def add_api(app: App) -> None:
    """Add the REST API to an app: routes under `/v1`. It needs the setting `data`.

    Users show the token that they connect with, servers an API key (`hocket key create`).
    """
    from hocket.serve.api.routes import add_routes  # lazy: apps without it do not pay for it

    add_routes(app)
