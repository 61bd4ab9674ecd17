"""Socket.IO, protocol 5: packets inside Engine.IO messages.

    <type>[<attachments>-][<namespace>,][<ack id>][<JSON>]          42["chat",1]
    431-/admin,7[{"_placeholder":true,"num":0}]

    type             payload that a client may send                    needs a connected socket
    0 CONNECT        nothing, or an object (auth)                      no: it makes one
    1 DISCONNECT     nothing                                           yes
    2 EVENT          [name, *arguments], optional ack id               yes
    3 ACK            [*arguments]; without an ack id it says nothing   yes
    4 CONNECT_ERROR  never                                             -
    5 BINARY_EVENT   as 2, then so many binary messages                yes
    6 BINARY_ACK     as 3, likewise                                    yes

Anything else is a PacketError. `Assembler` collects a packet and its attachments; between the two
nothing else may come.
"""

from __future__ import annotations

import json as stdlib_json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hocket.errors import PacketError
from hocket.protocol.encoding import as_builtin, encode_json
from hocket.protocol.engineio import EncodedPacket

CONNECT: Final = 0
DISCONNECT: Final = 1
EVENT: Final = 2
ACK: Final = 3
CONNECT_ERROR: Final = 4
BINARY_EVENT: Final = 5
BINARY_ACK: Final = 6

# Names that the client libraries use for their own events (socket.io-parser has the same list).
RESERVED: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
PLAIN_EVENT: Final = b"42["  # in the main namespace, without an ack id and attachments
PLAIN_CONNECT: Final = b"40{"  # into the main namespace, with who the client says it is
MAX_ATTACHMENTS: Final = 10  # the limit of Socket.IO's own parser

_HEADS: Final = [b"4%d" % kind for kind in range(BINARY_ACK + 1)]
_PLAIN: Final = frozenset({str, int, float, bool, type(None), msgspec.Raw})  # without bytes in it
_BYTES_LIKE: Final = (bytes, bytearray, memoryview)
_PACKET = re.compile(rb"4([0-6])(?:(\d{1,10})-)?(?:(/[^,]*)(?:,|$))?(\d{1,15})?(.*)", re.DOTALL)
_encode = encode_json
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


class Packet:
    """A decoded packet. `data` is a dict or None for CONNECT, a list for events and acks; `id` is
    the ack id or None.
    """

    __slots__ = ("attachments", "data", "id", "namespace", "type")

    def __init__(
        self, type: int, namespace: str, id: int | None, data: Any, attachments: int = 0
    ) -> None:
        self.type = type
        self.namespace = namespace
        self.id = id
        self.data = data
        self.attachments = attachments


def is_event(data: Any) -> bool:
    """Whether `data` is a list that begins with a name a client may use. A number is one, and from
    here on the text of it, as in JavaScript.
    """
    if not isinstance(data, list) or not data:
        return False
    if type(data[0]) in (int, float):
        is_whole = data[0] % 1 == 0 and abs(data[0]) < 1e21
        data[0] = str(int(data[0])) if is_whole else repr(data[0])
    return isinstance(data[0], str) and data[0] not in RESERVED


def _is_ack(data: Any) -> bool:
    return isinstance(data, list)


_VALID: Final[dict[int, Callable[[Any], bool]]] = {
    CONNECT: lambda data: data is None or isinstance(data, dict),
    DISCONNECT: lambda data: data is None,
    EVENT: is_event,
    ACK: _is_ack,
    CONNECT_ERROR: lambda data: False,
    BINARY_EVENT: is_event,
    BINARY_ACK: _is_ack,
}


def decode_json(text: bytes) -> Any:
    """JSON to Python values; raises PacketError."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_halved(text)


def _decode_halved(text: bytes) -> Any:
    r"""JSON with half a surrogate pair (`"\ud83d"`, an emoji that JavaScript's `slice` cut in two)
    gets U+FFFD there; the rest is refused."""
    try:
        if b"\\u" not in text:
            raise ValueError("not JSON")
        loose = stdlib_json.dumps(
            stdlib_json.loads(text, parse_constant=_no_constant), ensure_ascii=False
        )
        return _decode(
            loose.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
        )
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise PacketError(f"bad JSON: {error}"[:200]) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def decode(text: bytes) -> Packet:
    """A text message (with Engine.IO's `4`) to a packet; raises PacketError."""
    if text.startswith(PLAIN_EVENT):
        return Packet(EVENT, "/", None, decode_event(text))
    match = _PACKET.fullmatch(text)
    if match is None:
        raise PacketError(f"not a Socket.IO packet: {text[:20]!r}")
    kind, count, namespace, ack_id, payload = match.groups()
    type = int(kind)
    if (count is not None) != (type >= BINARY_EVENT):
        raise PacketError("attachments do not fit the packet type")
    attachments = int(count or 0)
    if attachments > MAX_ATTACHMENTS:
        raise PacketError(f"over {MAX_ATTACHMENTS} attachments")
    data = decode_json(payload) if payload else None
    if not _VALID[type](data):
        raise PacketError(f"the payload does not fit packet type {type}")
    try:
        name = "/" if namespace is None else namespace.decode()
    except UnicodeDecodeError:
        raise PacketError("the namespace is not UTF-8") from None
    return Packet(type, name, None if ack_id is None else int(ack_id), data, attachments)


def decode_event(text: bytes) -> list[Any]:
    """`[name, *arguments]` of a text message that begins with PLAIN_EVENT; raises PacketError."""
    try:
        data: list[Any] = _decode(text[2:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = _decode_halved(text[2:])
    # HOT: `decode_json` and `is_event`, without two calls: 0.15 us (benchmarks echo)
    if type(data) is list and data and type(data[0]) is str and data[0] not in RESERVED:
        return data
    if not is_event(data):
        raise PacketError("the payload does not fit an event")
    return data


def decode_auth(text: bytes) -> tuple[dict[str, Any], bytes]:
    """What a text message that begins with PLAIN_CONNECT says, and the JSON of it, or nothing where
    the JSON that came is not what was read; raises PacketError.
    """
    payload = text[2:]
    try:
        return _decode(payload), payload
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_halved(payload), b""


class Assembler:
    """Text and binary messages of one connection to whole packets. It exists only while attachments
    are awaited.
    """

    __slots__ = ("_buffers", "_packet")

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._buffers: list[bytes] = []

    def kept(self) -> tuple[int, str, int | None, Any, int, list[bytes]]:
        """What an unfinished packet has come to, for `continued`."""
        packet = self._packet
        return (
            packet.type, packet.namespace, packet.id, packet.data, packet.attachments, self._buffers
        )  # fmt: skip

    @classmethod
    def continued(
        cls,
        type: int,
        namespace: str,
        id: int | None,
        data: Any,
        attachments: int,
        buffers: list[bytes],
    ) -> Assembler:
        """From where another one was."""
        assembler = cls(Packet(type, namespace, id, data, attachments))
        assembler._buffers = buffers
        return assembler

    def add(self, data: bytes) -> Packet | None:
        """The next attachment; the packet once it is whole. Raises PacketError for a placeholder
        without its attachment.
        """
        self._buffers.append(data)
        if len(self._buffers) < self._packet.attachments:
            return None
        try:
            self._packet.data = restore(self._packet.data, list(self._buffers))
        except RecursionError:
            raise PacketError("the packet is nested too deep") from None
        return self._packet


def restore(value: Any, buffers: list[bytes | None]) -> Any:
    """`value` with each placeholder replaced by its attachment, which is taken out of `buffers`: no
    client names one twice, and who could name it 33,000 times would be sent it so often.
    """
    if isinstance(value, list):
        return [restore(item, buffers) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is not True:
        return {key: restore(item, buffers) for key, item in value.items()}
    number = value.get("num")
    if type(number) is not int or not 0 <= number < len(buffers):
        raise PacketError("a placeholder names no attachment")
    attachment, buffers[number] = buffers[number], None
    if attachment is None:
        raise PacketError("two placeholders name the same attachment")
    return attachment


def encode(
    type: int, namespace: str, data: Any = None, id: int | None = None, volatile: bool = False
) -> EncodedPacket:
    """A packet for the wire. `bytes`-like values anywhere in `data` become attachments.

    Args:
        type: CONNECT, DISCONNECT, EVENT, ACK or CONNECT_ERROR (binary types follow from the data).
        namespace: its name, with the slash.
        data: anything `encode_json` takes; None: no payload.
        id: the ack id.
        volatile: as in EncodedPacket.

    Raises: TypeError, ValueError for what JSON cannot hold.
    """
    buffers: list[bytes] = []
    if _may_hold_bytes(data):
        builtins = msgspec.to_builtins(
            data, builtin_types=_BYTES_LIKE, str_keys=True, enc_hook=as_builtin
        )
        data = extract(builtins, buffers)
        if buffers and type not in (EVENT, ACK):
            raise TypeError("only events and acks can carry bytes")
    head = b"4%d%d-" % (type + BINARY_EVENT - EVENT, len(buffers)) if buffers else _HEADS[type]
    if namespace != "/":
        head += namespace.encode() + b","
    if id is not None:
        head += b"%d" % id
    return EncodedPacket(head if data is None else head + _encode(data), buffers, volatile)


def event_text(namespace: str, event: str, args: tuple[Any, ...]) -> bytes | None:
    """The text of an event without ack id, if it is for the main namespace and surely holds no
    bytes, as most of them are and do; else None: ask `encode`. Raises as that does.

    HOT: 0.5 us less than a packet of it (benchmarks echo).
    """
    if namespace != "/" or type(event) is not str:
        return None
    for value in args:
        if type(value) is dict:
            for item in value.values():  # as in _may_hold_bytes, without the call: 0.05 us
                if type(item) not in _PLAIN and _may_hold_bytes(item):
                    return None
        elif _may_hold_bytes(value):
            return None
    return b"42" + _encode((event, *args))


def with_ack_id(packet: EncodedPacket, namespace: str, id: int) -> EncodedPacket:
    """An event that was encoded without an ack id, with one."""
    text = packet.text
    at = text.index(b"-") + 1 if packet.attachments else len(_HEADS[EVENT])
    if namespace != "/":
        at += len(namespace.encode()) + 1
    text = text[:at] + b"%d" % id + text[at:]
    return EncodedPacket(text, packet.attachments, packet.volatile, packet.cursor, packet.compress)


def connected(namespace: str, sid: str) -> bytes:
    """The text of the answer that lets a client into a namespace."""
    head = _HEADS[CONNECT] if namespace == "/" else b"40%b," % namespace.encode()
    return b'%b{"sid":"%b"}' % (head, sid.encode())


def _may_hold_bytes(value: Any) -> bool:
    """False only for what surely has no bytes in it: 0.3 us for a small dict, where to_builtins and
    `extract` take 3.
    """
    kind = type(value)
    if kind in _PLAIN:
        return False
    if kind is dict:
        value = value.values()
    elif kind is not list and kind is not tuple:
        return True
    for item in value:  # noqa: SIM110 - any() with a generator costs twice as much here
        if type(item) not in _PLAIN and _may_hold_bytes(item):
            return True
    return False


def extract(value: Any, buffers: list[bytes]) -> Any:
    """`value` (of builtin types) with its bytes moved to `buffers` and placeholders in their
    places.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        buffers.append(bytes(value))
        return {"_placeholder": True, "num": len(buffers) - 1}
    if isinstance(value, dict):
        return {key: extract(item, buffers) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [extract(item, buffers) for item in value]
    return value
