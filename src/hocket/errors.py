"""Every error and every code of Hocket.

    HocketError
    ├── ConnectError         a handler refuses a client: its `connect_error`
    ├── Overloaded           too much is waiting to be sent: `await app.drain()`
    ├── Disconnected         the client left before it answered a call
    ├── CallTimeout          the client did not answer a call in time (a TimeoutError too)
    ├── ProtocolError        the peer broke a protocol; carries the code to answer with
    │   ├── HTTPError        an HTTP status
    │   ├── WebSocketError   a close code (RFC 6455 section 7.4)
    │   └── PacketError      a bad Engine.IO or Socket.IO packet: the session ends
    ├── Denied               nobody that may come in, or not to this; carries a code for machines
    └── UsageError           a person can mend it: one line on stderr, exit status 2

The second part are the reasons that a `disconnect` handler gets. Where Socket.IO has a reason for
the case, the text is Socket.IO's. The third are the codes of Denied: what a client finds under
`data.code` of its `connect_error`, and under `code` of a REST answer.
"""

from __future__ import annotations

from typing import Any, Final


class HocketError(Exception):
    """Base of everything that Hocket raises."""


class ConnectError(HocketError):
    """Raise it in a `connect` handler or a middleware: the client gets `connect_error` with
    `message` and `data`.

    Source: Socket.IO protocol v5, packet CONNECT_ERROR.
    """

    def __init__(self, message: str = "refused", data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Overloaded(HocketError):
    """More bytes wait in fan-outs than `max_pending` allows. `await app.drain()` waits until there
    is room.
    """


class Disconnected(HocketError):
    """The client left before it answered."""


class CallTimeout(HocketError, TimeoutError):
    """Nobody, or not everybody, answered in time. `answers` holds what had come until then."""

    def __init__(self, message: str, answers: list[Any] | None = None) -> None:
        super().__init__(message)
        self.answers: list[Any] = answers or []


class ProtocolError(HocketError):
    """The peer broke a protocol. Only its three children are raised."""


class HTTPError(ProtocolError):
    """A request that is answered with `status` (an HTTP status code), with `fields` among the
    response's headers.
    """

    def __init__(self, status: int, message: str, *fields: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


class WebSocketError(ProtocolError):
    """Bytes that break RFC 6455: the connection closes with `code`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class PacketError(ProtocolError):
    """An Engine.IO or Socket.IO packet that cannot be: the session ends with `parse error`."""


class Denied(HocketError):
    """Who asks may not: `code` is one of those at this page's end, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UsageError(HocketError):
    """Something that a person can mend; the message says how."""


# Why a connection or a socket ended: the second argument of a `disconnect` handler.
TRANSPORT_CLOSE: Final = "transport close"
TRANSPORT_ERROR: Final = "transport error"
PING_TIMEOUT: Final = "ping timeout"
PARSE_ERROR: Final = "parse error"
FORCED_CLOSE: Final = "forced close"
CLIENT_LEFT: Final = "client namespace disconnect"
SERVER_LEFT: Final = "server namespace disconnect"
SERVER_CLOSED: Final = "forced server close"
SHUTTING_DOWN: Final = "server shutting down"
SLOW_CONSUMER: Final = "slow-consumer"
TOKEN_EXPIRED: Final = "token-expired"  # the client's token did, on a live connection

# What a client is told where False says that it may not come in, or it was sent away before that.
FORBIDDEN: Final = "Forbidden"
DISMISSED: Final = "disconnected"

# Why somebody is not let in, or not let do something.
TOKEN_REQUIRED: Final = "token-required"  # no token, or none that is signed by a key that counts
TOKEN_EARLY: Final = "token-early"  # its `nbf` is still to come
TOKEN_AUDIENCE: Final = "token-audience"  # it is for another server
TOKEN_ISSUER: Final = "token-issuer"  # it is from another login
TOKEN_CLAIMS: Final = "token-claims"  # signed, but without a `sub` or `exp` that can be used
KEYS_UNAVAILABLE: Final = "keys-unavailable"  # the JWKS cannot be read now: try again
NOT_ALLOWED: Final = "not-allowed"  # `@app.authenticate` said no
KEY_INVALID: Final = "key-invalid"  # an API key that is unknown, revoked or not right
KEY_REQUIRED: Final = "key-required"  # a user's token does not open what is for servers
USER_REQUIRED: Final = "user-required"  # an API key is no user
SCOPE_MISSING: Final = "scope-missing"  # the API key may do other things
CSRF_REQUIRED: Final = "csrf-required"  # a change by cookie without a good X-CSRF-Token
