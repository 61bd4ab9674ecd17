"""What clients are told: the arguments of the events `notification` and `inbox`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.hub.target import event_packet
from hocket.notify.model import Notification
from hocket.protocol.engineio import EncodedPacket
from hocket.store.base import Marked

EVENT: Final = "notification"
MARKED: Final = "inbox"
NAMESPACE: Final = "/"


class Payload(msgspec.Struct, frozen=True):
    """The argument of `notification`. `id` is the notification's, `seq` its place in the order of
    all, which a client gives as `auth.after` when it comes back; `at`: when it was released
    (seconds since 1970).
    """

    id: str
    seq: int
    title: str
    body: str
    data: dict[str, Any]
    url: str
    icon: str
    at: float


_decoder: Final = msgspec.json.Decoder(Notification)


def payload(seq: int, id: str, content: bytes, at: float) -> Payload:
    """What is told of a stored notification."""
    it = _decoder.decode(content)
    return Payload(id, seq, it.title, it.body, it.data, it.url, it.icon, at)


def notification_packet(seq: int, id: str, content: bytes, at: float) -> EncodedPacket:
    """The event `notification`, encoded once for all who get it."""
    packet = event_packet(NAMESPACE, EVENT, (payload(seq, id, content, at),))
    packet.cursor = str(seq)
    return packet


def marked_packet(event: Marked) -> EncodedPacket:
    """The event `inbox`: another client of this user has marked something."""
    return event_packet(NAMESPACE, MARKED, ({"what": event.what, "ids": event.ids},))
