"""Devices: where a user's pushes go."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from hocket.app import App
from hocket.providers.base import Provider
from hocket.providers.registry import configured
from hocket.serve.api.endpoint import PAGE, Call, LeftOut, Limit, Name, Reply, endpoint, given
from hocket.serve.api.problems import Problem
from hocket.store.base import DeviceRow, Devices, RegisterDevice, RemoveDevice

# Their tokens are addresses, which others may know: to name one is not to have it. So a user who
# does takes it from nobody. Push tokens are secrets of a device, which may change hands.
ADDRESSES: Final = frozenset({"webhook", "email"})
KNOWN: Final = ("webpush", "fcm", "apns", "webhook", "email")
MAX_TOKEN: Final = 4_096  # bytes
MAX_DEVICES: Final = 100  # of a user: each notification to the user goes to every one of them

Token = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TOKEN)]


class NewDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device. `user`: whose, needed with an API key. `token`: what the provider knows it by; for
    Web Push the browser's subscription object.
    """

    provider: Name
    token: Token | dict[str, Any]
    user: Name | None = None


class DeviceId(msgspec.Struct, frozen=True):
    id: str


class Device(msgspec.Struct, frozen=True):
    """`registered`: seconds since 1970."""

    id: str
    user: str
    provider: str
    registered: float


class DevicePage(msgspec.Struct, frozen=True):
    """`next`: what to give as `after` for the next page; null: this is the last."""

    items: list[Device]
    next: str | None


class WebPushKey(msgspec.Struct, frozen=True):
    """`key`: what `PushManager.subscribe` takes as `applicationServerKey`."""

    key: str


class WhichDevices(msgspec.Struct, frozen=True):
    user: Name | LeftOut = msgspec.UNSET
    after: Annotated[str, msgspec.Meta(max_length=200)] = ""
    limit: Limit = PAGE


@lru_cache(1)
def providers_of(app: App) -> dict[str, Provider]:
    """The providers by name: those that the settings turn on, and the app's own. Here they check
    tokens and send nothing.
    """
    settings = app.settings
    turned_on = configured(settings) if settings is not None else []
    return {each.name: each for each in (*turned_on, *app.providers)}


def check_token(providers: dict[str, Provider], provider: str, token: str) -> str:
    """A device's token as it is stored. Raises Problem."""
    its = providers.get(provider)
    if its is None and provider not in KNOWN:
        names = ", ".join(sorted({*KNOWN, *providers}))
        raise Problem("unknown-provider", f"the providers are: {names}")
    try:
        return its.check(token) if its is not None else token
    except ValueError as error:
        raise Problem("bad-device-token", str(error)) from None


@endpoint(
    "POST",
    "/v1/devices",
    scopes=("devices",),
    users=True,
    body=NewDevice,
    answers={201: DeviceId, 200: DeviceId},
    problems=("not-yours", "unknown-provider", "bad-device-token", "too-many-devices"),
)
async def register(call: Call) -> Reply:
    """Register a device; a token that is registered already is replaced (200), with its user. But
    an email address or a webhook that a user registers is that user's beside whoever else has it.
    """
    new: NewDevice = call.body
    user = call.own(new.user)
    text = new.token
    if not isinstance(text, str):
        text = msgspec.json.encode(text, order="sorted").decode()
    token = check_token(providers_of(call.app), new.provider, text)
    if len(token) > MAX_TOKEN:
        raise Problem("bad-device-token", f"the token is over {MAX_TOKEN} characters")
    beside = call.who.how != "key" and new.provider in ADDRESSES
    done = await call.do(RegisterDevice(user, new.provider, token, call.now, beside, MAX_DEVICES))
    return Reply(200 if done.replaced else 201, DeviceId(done.id))


@endpoint(
    "GET",
    "/v1/devices",
    scopes=("devices", "read"),
    users=True,
    query=WhichDevices,
    answers={200: DevicePage},
    problems=("not-yours",),
)
async def devices(call: Call) -> DevicePage:
    """List devices: a user's own; with an API key those of `user`, or all."""
    asked: WhichDevices = call.query
    user = given(asked.user)
    if call.who.how != "key":
        user = call.own(user)
    rows = await call.do(Devices(user, asked.after, asked.limit))
    return DevicePage([_device(row) for row in rows], rows[-1].id if _full(rows, asked) else None)


def _device(row: DeviceRow) -> Device:
    """Without its token, which is a secret of the device."""
    return Device(row.id, row.user, row.provider, row.registered)


def _full(rows: list[DeviceRow], asked: WhichDevices) -> bool:
    return len(rows) >= asked.limit


@endpoint(
    "DELETE",
    "/v1/devices/{id}",
    scopes=("devices",),
    users=True,
    answers={204: None},
    problems=("not-found",),
)
async def remove(call: Call) -> None:
    """Forget a device, at logout for example."""
    user = None if call.who.how == "key" else call.who.user
    if not await call.do(RemoveDevice(call.path["id"], user)):
        raise Problem("not-found", "there is no such device")


@endpoint("GET", "/v1/webpush/key", users=True, answers={200: WebPushKey}, problems=("not-found",))
async def webpush_key(call: Call) -> WebPushKey:
    """Get the server's public key, which browsers want to know before they subscribe."""
    key = getattr(providers_of(call.app).get("webpush"), "public_key", "")
    if not key:
        raise Problem("not-found", "this server sends no Web Push: `hocket vapid` makes its keys")
    return WebPushKey(key)


ENDPOINTS: Final = (register, devices, remove, webpush_key)
