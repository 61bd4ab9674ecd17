"""A user's own: the inbox and the preferences."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from hocket.notify.model import Notification, Preferences
from hocket.notify.preferences import preferences_or_none, zone
from hocket.serve.api.endpoint import PAGE, Call, LeftOut, Limit, Name, endpoint, given
from hocket.serve.api.problems import Problem
from hocket.store.base import (
    CountUnread,
    GetPreferences,
    Inbox,
    InboxRow,
    MarkInbox,
    SetPreferences,
)

MAX_PREFERENCES: Final = 8_192  # bytes as JSON; each delivery to the user is claimed with them

Cursor = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Item(msgspec.Struct, frozen=True):
    """One notification, as the event `notification` tells it, and whether it was `read` or
    `archived`. `seq` is its cursor; `at`: seconds since 1970.
    """

    id: str
    seq: int
    title: str
    body: str
    data: dict[str, Any]
    url: str
    icon: str
    at: float
    read: bool
    archived: bool


class ItemPage(msgspec.Struct, frozen=True):
    """`next`: the cursor of the next page in the same direction; null: this is the last."""

    items: list[Item]
    next: int | None


class WhichItems(msgspec.Struct, frozen=True):
    """After a cursor, oldest first; or before one, newest first (`before=0`: from the newest)."""

    after: Cursor | LeftOut = msgspec.UNSET
    before: Cursor | LeftOut = msgspec.UNSET
    archived: bool = False
    limit: Limit = PAGE


class Unread(msgspec.Struct, frozen=True):
    unread: int


class WhichIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which; none named: all."""

    ids: Annotated[list[Name], msgspec.Meta(max_length=1_000)] = []


@endpoint("GET", "/v1/inbox", users=True, query=WhichItems, answers={200: ItemPage})
async def inbox(call: Call) -> ItemPage:
    """List your inbox. A page of long items has fewer than `limit`: follow `next`."""
    asked: WhichItems = call.query
    after, before = given(asked.after), given(asked.before)
    if after is not None and before is not None:
        raise Problem("invalid", "after or before, not both")
    if before is None:
        after = after or 0
    rows = await call.do(Inbox(call.who.user, after, before, asked.limit, asked.archived))
    return ItemPage([_item(row) for row in rows], await _next(call, rows, before is not None))


async def _next(call: Call, rows: list[InboxRow], down: bool) -> int | None:
    """The cursor of the next page, if there is one. How many there are on this one does not say so:
    a page of long ones has fewer than it may.
    """
    if not rows:
        return None
    last, asked = rows[-1].seq, call.query
    after, before = (None, last) if down else (last, None)
    more = await call.do(Inbox(call.who.user, after, before, 1, asked.archived))
    return last if more else None


_notification: Final = msgspec.json.Decoder(Notification)


def _item(row: InboxRow) -> Item:
    it = _notification.decode(row.content)
    return Item(
        row.id, row.seq, it.title, it.body, it.data, it.url, it.icon, row.at,
        row.read > 0, row.archived > 0,
    )  # fmt: skip


@endpoint("GET", "/v1/inbox/unread", users=True, answers={200: Unread})
async def unread(call: Call) -> Unread:
    """Count what is neither read nor archived."""
    return Unread(await call.do(CountUnread(call.who.user)))


@endpoint(
    "POST",
    "/v1/inbox/read",
    users=True,
    body=WhichIds,
    optional=True,
    answers={204: None},
    problems=("not-found",),
)
async def read_all(call: Call) -> None:
    """Mark as read: the named ones, or all."""
    await _mark(call, "read", tuple((call.body or WhichIds()).ids))


@endpoint("POST", "/v1/inbox/{id}/read", users=True, answers={204: None}, problems=("not-found",))
async def read(call: Call) -> None:
    """Mark one as read."""
    await _mark(call, "read", (call.path["id"],))


@endpoint("POST", "/v1/inbox/{id}/unread", users=True, answers={204: None}, problems=("not-found",))
async def unmark(call: Call) -> None:
    """Mark one as unread again."""
    await _mark(call, "unread", (call.path["id"],))


@endpoint(
    "POST", "/v1/inbox/{id}/archive", users=True, answers={204: None}, problems=("not-found",)
)
async def archive(call: Call) -> None:
    """Put one away."""
    await _mark(call, "archived", (call.path["id"],))


@endpoint(
    "POST", "/v1/inbox/{id}/unarchive", users=True, answers={204: None}, problems=("not-found",)
)
async def unarchive(call: Call) -> None:
    """Take one back into the inbox."""
    await _mark(call, "unarchived", (call.path["id"],))


async def _mark(call: Call, what: Any, ids: tuple[str, ...]) -> None:
    await call.do(MarkInbox(call.who.user, what, ids, call.now))


@endpoint("GET", "/v1/preferences", users=True, answers={200: Preferences})
async def preferences(call: Call) -> Preferences:
    """See what you want to be told, when and how."""
    stored: bytes = await call.do(GetPreferences(call.who.user))
    return preferences_or_none(stored)


@endpoint("PUT", "/v1/preferences", users=True, body=Preferences, answers={200: Preferences})
async def set_preferences(call: Call) -> Preferences:
    """Replace your preferences: at most 8,192 bytes as JSON without spaces."""
    wanted: Preferences = call.body
    try:
        zone(wanted.timezone)
    except ValueError as error:
        raise Problem("invalid", f"{error} - at `$.timezone`") from None
    stored = msgspec.json.encode(wanted)
    if len(stored) > MAX_PREFERENCES:
        raise Problem("invalid", f"preferences have at most {MAX_PREFERENCES} bytes")
    await call.do(SetPreferences(call.who.user, stored))
    return wanted


ENDPOINTS: Final = (
    inbox, unread, read_all, read, unmark, archive, unarchive, preferences, set_preferences,
)  # fmt: skip
