"""What a store does, and what it promises.

An operation is a Struct: what is asked for, with the type of the answer (`Answer`) and the
guarantee in its docstring. `Store.do` carries one out. So a store over a socket, in this process or
in PostgreSQL is one table from operations to functions, and nothing is written twice.

What all of them keep:

- **An answer means: on disk.** A write is answered after the transaction that holds it was
  committed with a full fsync. What waits is committed together (group commit).
- **All or nothing**: an operation that raises has changed nothing.
- **One order.** Operations of one caller are carried out in the order in which they were asked for.
  `Released` events come to every subscriber in the order of their `seq`, none twice, none left out.
- **A store that cannot write says so**: `StoreError`, with nothing acknowledged; it goes on by
  itself when the disk, the folder or the lock is mended.

Two numbers order everything. `number` counts what was *accepted*: users, memberships and
notifications each take the next one, so who belongs to an audience is decided by comparing numbers.
`seq` counts what was *released*: a notification takes the next one when it becomes visible, which
for a scheduled one is later. A client's cursor is the `seq` of the last one that it has seen, so a
scheduled notification is never behind a cursor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import msgspec

from hocket.errors import HocketError

T = TypeVar("T")


class StoreError(HocketError):
    """The store cannot do it now: the disk is full, the folder read-only, the file locked, or its
    process is not there. Nothing was changed, or nothing was acknowledged.
    """


class Conflict(HocketError):
    """The operation contradicts what is stored. `code` is for machines: `key-reused` (another body
    under the same idempotency key), `still-running` (the same, not answered yet), `not-found`,
    `finished`, `too-many-devices`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Operation(msgspec.Struct, Generic[T], frozen=True, array_like=True, tag=True):
    """Base of all operations; T is the type of the answer, `Answer` the same for the decoder."""

    Answer: ClassVar[Any] = None


class Store(Protocol):
    """See the page's top."""

    async def do(self, operation: Operation[T]) -> T:
        """Carry out one operation.

        Raises: StoreError, Conflict.
        """

    def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """What happens from now on; with `after`, first all that was released after that `seq`.
        Goes on over restarts of the store; ends with `close`.
        """

    async def close(self) -> None:
        """Give up what is open. Operations under way raise StoreError."""


# --- Users, topics, preferences ------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """The answer to SeeUsers: `new` of them were unknown; `seq` of the newest release; the number
    of each of them, in the order in which they were named (see Released); which of them, counted
    from 0, have preferences.
    """

    new: int
    seq: int
    numbers: tuple[int, ...] = ()
    choosy: tuple[int, ...] = ()


class SeeUsers(Operation[Seen], frozen=True):
    """These users exist: from now on they belong to `all`. Repeating it changes nothing."""

    users: tuple[str, ...]
    Answer: ClassVar[Any] = Seen


class JoinTopic(Operation[bool], frozen=True):
    """Put a user into a topic, from the next accepted notification on. False: was in it."""

    topic: str
    user: str
    Answer: ClassVar[Any] = bool


class LeaveTopic(Operation[bool], frozen=True):
    """Take a user out of a topic. What was accepted before still reaches it. False: was not in."""

    topic: str
    user: str
    Answer: ClassVar[Any] = bool


class TopicsOf(Operation[list[str]], frozen=True):
    """The topics that a user is in, sorted."""

    user: str
    Answer: ClassVar[Any] = list[str]


class SetPreferences(Operation[None], frozen=True):
    """Replace a user's preferences (JSON, checked by `notify`). Inboxes follow at once."""

    user: str
    preferences: bytes


class GetPreferences(Operation[bytes], frozen=True):
    """A user's preferences, `b"{}"` when there are none."""

    user: str
    Answer: ClassVar[Any] = bytes


# --- Devices -------------------------------------------------------------------------------------


class DeviceRow(msgspec.Struct, frozen=True, array_like=True):
    """A device. `token` as the provider canonicalised it; `registered`: seconds since 1970."""

    id: str
    user: str
    provider: str
    token: str
    registered: float


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """The answer to RegisterDevice."""

    id: str
    replaced: bool


class RegisterDevice(Operation[Registered], frozen=True):
    """A device of a user. `(provider, token)` is unique: another registration of the same token
    replaces the whole row, also its user, keeps the id, and says so. With `beside`, only of the
    same user's: whoever else has the token keeps it. With `most`, a user who has so many devices
    gets no more: Conflict `too-many-devices`.
    """

    user: str
    provider: str
    token: str
    at: float
    beside: bool = False
    most: int = 0
    Answer: ClassVar[Any] = Registered


class RemoveDevice(Operation[bool], frozen=True):
    """Forget a device; with `user` only if it is that user's. Its open deliveries fail. False:
    there is none.
    """

    id: str
    user: str | None = None
    Answer: ClassVar[Any] = bool


class Devices(Operation[list[DeviceRow]], frozen=True):
    """A page of devices in the order of their ids, after one; of one user or of all."""

    user: str | None = None
    after: str = ""
    limit: int = 1000
    Answer: ClassVar[Any] = list[DeviceRow]


# --- Notifications -------------------------------------------------------------------------------

State = Literal["scheduled", "running", "done", "cancelled"]


class AudienceRow(msgspec.Struct, frozen=True, array_like=True):
    """Whom it is for: everybody (`all`), or whoever is named or in one of the topics."""

    all: bool = False
    users: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """The answer to Accept. `replayed`: it had been accepted under the same key before."""

    id: str
    recipients: int
    state: State
    replayed: bool


class Accept(Operation[Accepted], frozen=True):
    """Store a notification with its audience, in one transaction. Its recipients are decided now.

    Without `send_at`, or when that is past, it is released in the same transaction.

    Args:
        id: made by the caller, unguessable; a repeated id is answered as a repeated key is.
        caller: who asks, for `key`: two callers never share one.
        key: idempotency key, "" for none; counts for a day.
        digest: of the request's body, compared when the key comes again.
        content: JSON of `notify.model.Notification`.
        at, send_at, expires_at: seconds since 1970; `send_at` 0: at once.

    Raises: Conflict `key-reused`, `still-running`.
    """

    id: str
    caller: str
    key: str
    digest: bytes
    audience: AudienceRow
    content: bytes
    at: float
    send_at: float
    expires_at: float
    collapse_key: str
    Answer: ClassVar[Any] = Accepted


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """The answer to CountAudience: users, and their devices by provider."""

    recipients: int
    devices: dict[str, int]


class CountAudience(Operation[Counted], frozen=True):
    """Whom a notification that is accepted now would be for. It changes nothing."""

    audience: AudienceRow
    Answer: ClassVar[Any] = Counted


class NotificationRow(msgspec.Struct, frozen=True, array_like=True):
    """A notification as it stands. `pending` counts deliveries that are not settled, those not yet
    made from devices included as soon as they are known.
    """

    id: str
    seq: int  # 0: not released
    state: State
    content: bytes
    accepted: float
    send_at: float
    recipients: int
    delivered: int
    failed: int
    expired: int
    cancelled: int
    suppressed: int  # the user's preferences said no
    pending: int


class GetNotification(Operation[NotificationRow], frozen=True):
    """Raises: Conflict `not-found`."""

    id: str
    Answer: ClassVar[Any] = NotificationRow


class CancelNotification(Operation[NotificationRow], frozen=True):
    """Stop it: deliveries that no process has in hand are cancelled, a scheduled one is never
    released. Cancelling what is done changes nothing.

    Raises: Conflict `not-found`.
    """

    id: str
    at: float
    Answer: ClassVar[Any] = NotificationRow


class DeliveryRow(msgspec.Struct, frozen=True, array_like=True):
    """One device's delivery. `state`: queued, leased, retry, delivered, failed, dead (the token
    is), expired, cancelled, suppressed.
    """

    id: int
    user: str
    device: str
    provider: str
    state: str
    attempts: int
    error: str


class Deliveries(Operation[list[DeliveryRow]], frozen=True):
    """A page of a notification's deliveries, in the order of their ids.

    Raises: Conflict `not-found`.
    """

    notification: str
    after: int = 0
    limit: int = 1000
    Answer: ClassVar[Any] = list[DeliveryRow]


class Recipients(Operation[list[str]], frozen=True):
    """A page of those it is for, sorted by name.

    Raises: Conflict `not-found`.
    """

    notification: str
    after: str = ""
    limit: int = 1000
    Answer: ClassVar[Any] = list[str]


class ReportRow(msgspec.Struct, frozen=True, array_like=True):
    """What became of a notification for one of those it is for: the deliveries to the user's
    devices, those that are made already. `unwanted`: the user has no device, and does not want it
    in the inbox.
    """

    user: str
    deliveries: list[DeliveryRow]
    unwanted: bool = False


class Report(Operation[list[ReportRow]], frozen=True):
    """A page of those it is for, sorted by name, each with the deliveries to it.

    Raises: Conflict `not-found`.
    """

    notification: str
    after: str = ""
    limit: int = 1000
    Answer: ClassVar[Any] = list[ReportRow]


# --- The outbox: what the delivery process asks --------------------------------------------------


class Claimed(msgspec.Struct, frozen=True, array_like=True):
    """A delivery to carry out now. Those merged into it by a digest are in `merged`: one push
    settles all of them, and what is here is the newest one's, but the last `expires_at` of any.
    """

    id: int
    notification: str
    content: bytes
    expires_at: float
    collapse_key: str
    attempts: int
    user: str
    device: str
    token: str
    registered: float
    preferences: bytes
    merged: tuple[int, ...] = ()


class Claim(Operation[list[Claimed]], frozen=True):
    """Lease up to `limit` due deliveries of a provider to the asking connection, fewer where they
    are long: an answer ends at 8 MB. Deliveries are made from devices in batches, as claims ask for
    them: a broadcast to a million devices is never a million rows in memory. A lease ends with the
    connection that took it, at once, or at `until`.
    """

    provider: str
    limit: int
    now: float
    until: float
    Answer: ClassVar[Any] = list[Claimed]


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """How a claimed delivery went. `state`: delivered, failed, dead, expired, suppressed; or retry,
    then due again at `at`; without an `error` it was no try, and what was the last one's error
    stays. `dead_since` (seconds since 1970; 0: now): a device registered later is
    kept.
    """

    id: int
    state: str
    at: float
    error: str = ""
    dead_since: float = 0.0


class Settle(Operation[None], frozen=True):
    """Write down how deliveries went. What another connection has a lease on is left as it is. What
    nobody has one on counts: the store was started again since it was claimed, and whoever claimed
    it has sent it.
    """

    results: tuple[Settled, ...]


class Due(msgspec.Struct, frozen=True, array_like=True):
    """When there is something to do next, by provider (seconds since 1970), and when the next
    scheduled notification is to be released (0: none).
    """

    providers: dict[str, float]
    release: float


class GetDue(Operation[Due], frozen=True):
    """What a delivery process sleeps by. `now`: seconds since 1970."""

    now: float
    Answer: ClassVar[Any] = Due


class ReleaseDue(Operation[int], frozen=True):
    """Release what is scheduled until `now`, and expire what is over, a few of them; how many were
    released. GetDue says whether there is more.
    """

    now: float
    Answer: ClassVar[Any] = int


class DeleteOld(Operation[int], frozen=True):
    """Delete notifications that are over and were released (or, where they never were, accepted)
    before `before`, with their deliveries, inbox items and marks; 0: none. Idempotency keys of
    which none counts any more, too. A batch of it; how many rows that were: 0 when nothing is left
    to delete.

    Args:
        now, before: seconds since 1970.
    """

    now: float
    before: float
    Answer: ClassVar[Any] = int


# --- The inbox -----------------------------------------------------------------------------------


class InboxRow(msgspec.Struct, frozen=True, array_like=True):
    """One user's view of a released notification. `read`, `archived`: seconds since 1970, 0: no."""

    seq: int
    id: str
    content: bytes
    at: float
    read: float
    archived: float


class Inbox(Operation[list[InboxRow]], frozen=True):
    """A page of a user's inbox: after a `seq` in ascending order, or before one in descending order
    (0: from the newest). Each notification for the user is in it exactly once, but for those that
    the user's preferences do not want on the channel `inbox`, or `live` for what a client missed.
    Where they are long, a page has fewer than `limit`: it ends at 8 MB.
    """

    user: str
    after: int | None = None
    before: int | None = None
    limit: int = 100
    archived: bool = False
    channel: Literal["inbox", "live"] = "inbox"
    Answer: ClassVar[Any] = list[InboxRow]


class CountUnread(Operation[int], frozen=True):
    """How many of the inbox are neither read nor archived."""

    user: str
    Answer: ClassVar[Any] = int


class MarkInbox(Operation[None], frozen=True):
    """Mark items of a user's inbox; `ids` empty: all of them.

    Raises: Conflict `not-found` when one is not in this user's inbox.
    """

    user: str
    what: Literal["read", "unread", "archived", "unarchived"]
    ids: tuple[str, ...]
    at: float


# --- API keys ------------------------------------------------------------------------------------


class KeyRow(msgspec.Struct, frozen=True, array_like=True):
    """An API key, without the key: `hash` is SHA-256 of its secret part."""

    id: str
    hash: bytes
    name: str
    scopes: tuple[str, ...]
    created: float


class AddKey(Operation[None], frozen=True):
    """Keep a key."""

    key: KeyRow


class GetKey(Operation[KeyRow | None], frozen=True):
    """A key by its id."""

    id: str
    Answer: ClassVar[Any] = KeyRow | None


class Keys(Operation[list[KeyRow]], frozen=True):
    """All keys, oldest first."""

    Answer: ClassVar[Any] = list[KeyRow]


class RevokeKey(Operation[bool], frozen=True):
    """Forget a key; False: there is none."""

    id: str
    Answer: ClassVar[Any] = bool


# --- Events --------------------------------------------------------------------------------------


class Released(msgspec.Struct, frozen=True, array_like=True, tag="released"):
    """A notification has become visible. For `everybody`, whose number is at most `number`; or for
    `users`, of whom one event carries at most 5,000: further events of the same `seq` follow, the
    last one with `last`.
    """

    seq: int
    id: str
    content: bytes
    at: float
    everybody: bool
    number: int
    users: tuple[str, ...]
    last: bool


class Marked(msgspec.Struct, frozen=True, array_like=True, tag="marked"):
    """A user's inbox was marked somewhere: its other clients follow. See MarkInbox."""

    user: str
    what: str
    ids: tuple[str, ...]


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="progress"):
    """Deliveries of a notification were settled; at most a few a second for each notification, and
    one when it is done.
    """

    id: str
    state: State
    delivered: int
    failed: int
    expired: int
    cancelled: int
    suppressed: int
    pending: int


class Preferred(msgspec.Struct, frozen=True, array_like=True, tag="preferred"):
    """A user's preferences have changed: whoever tells that user something asks for them."""

    user: str


Event = Released | Marked | Progress | Preferred
