"""All endpoints."""

from __future__ import annotations

from typing import Final

from hocket.serve.api import devices, inbox, notifications, session, topics
from hocket.serve.api.endpoint import Endpoint

TABLE: Final[tuple[Endpoint, ...]] = (
    *notifications.ENDPOINTS,
    *devices.ENDPOINTS,
    *topics.ENDPOINTS,
    *inbox.ENDPOINTS,
    *session.ENDPOINTS,
)
EVENTS: Final = "/v1/events"
USUAL: Final = ("token-required", "token-expired", "store-unavailable")  # of every endpoint
