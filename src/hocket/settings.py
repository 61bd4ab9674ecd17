"""The one table of settings. Keyword arguments of App, `HOCKET_*` variables, `hocket.toml`, command
line flags, `--help` and the reference page (docs/reference/settings.md) all come from it. Nothing
else reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from hocket.errors import UsageError

FILE = "hocket.toml"


def _number(kind: type, least: float, most: float) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        number = kind(value)
        if not least <= number <= most:
            raise ValueError(f"from {least:g} to {most:.10g}")
        return number

    return parse


def _number_or_auto(least: int, most: int) -> Callable[[Any], int]:
    """`auto` is 0."""
    parse = _number(int, least, most)

    def read(value: Any) -> int:
        try:
            return 0 if value == "auto" else int(parse(value))
        except ValueError:
            raise ValueError(f"auto, or a number from {least} to {most}") from None

    return read


def _choice(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return str(value)

    return parse


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError("yes or no")
    return text in ("1", "true", "yes", "on")


def _path(value: Any) -> str:
    text = str(value)
    if not text.startswith("/") or "?" in text:
        raise ValueError("a path that begins with a slash")
    return text.rstrip("/") or "/"


def _origins(value: Any) -> tuple[str, ...] | str | None:
    if value is None or value == "*":
        return value  # type: ignore[no-any-return]
    items = value.split(",") if isinstance(value, str) else list(value)
    for item in items:
        if not str(item).strip().startswith(("http://", "https://")):
            raise ValueError('"*" or origins such as https://example.com, separated by commas')
    return tuple(str(item).strip() for item in items)


def _networks(value: Any) -> tuple[Any, ...]:
    if not value:
        return ()
    from ipaddress import ip_network  # lazy: 4 ms of the start, for those who have a proxy in front

    items = value.split(",") if isinstance(value, str) else list(value)
    try:
        return tuple([ip_network(str(item).strip(), strict=False) for item in items])
    except ValueError:
        raise ValueError(
            "IP addresses or networks such as 10.0.0.0/8, separated by commas"
        ) from None


def _name(value: Any) -> str:
    if not str(value).isascii() or not str(value).replace("-", "_").isidentifier():
        raise ValueError("a name of letters, digits, - and _")
    return str(value)


def _keys(value: Any) -> str:
    text = str(value)
    if text.startswith("http://"):
        from urllib.parse import urlsplit  # lazy: for those who have a key set

        if urlsplit(text).hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("an https URL or a file: whoever can change the keys can be anybody")
    return text


def setting(
    default: Any, parse: Callable[[Any], Any], help: str, unit: str = "", secret: bool = False
) -> Any:
    """One row of the table."""
    return field(
        default=default, metadata={"parse": parse, "help": help, "unit": unit, "secret": secret}
    )


def _url(value: Any) -> str:
    text = str(value).rstrip("/")
    if not text.startswith(("https://", "http://")):
        raise ValueError("a URL such as https://example.com")
    return text


def _days(value: Any) -> float:
    days = float(value)
    if days != 0 and not 1 <= days <= 36_500:
        raise ValueError("0, or from 1 to 36500")
    return days


_seconds = _number(float, 0.01, 86_400)
_bytes = _number(int, 1_000, 1 << 30)


@dataclass(frozen=True)
class Settings:
    """Every setting. Each attribute is a row; see `rows`."""

    host: str = setting(
        "127.0.0.1", str, "address to listen on; 0.0.0.0 is every IPv4 address, :: every address"
    )
    workers: int = setting(
        1,
        _number_or_auto(1, 256),
        "processes that share the connections of one port; auto: as many as there are cores; more "
        "where `max_connections` needs them",
    )
    app_processes: int = setting(
        0,
        _number(int, 0, 64),
        "processes that run the mounted applications, away from the connections; 0: the workers do",
    )
    max_connections: int = setting(
        0,
        _number(int, 0, 10_000_000),
        "connections that may be open, all workers together; 0: as many as there are open files",
    )
    port: int = setting(8080, _number(int, 0, 65_535), "port to listen on; 0 picks a free one")
    path: str = setting("/socket.io", _path, "path that Socket.IO clients use")
    sse_path: str = setting("/events", _path, "path that clients of Server-Sent Events use")
    origins: tuple[str, ...] | str | None = setting(
        None,
        _origins,
        "web origins that may connect, and read what the app's routes answer, besides the server's "
        'own, separated by commas; "*" is any',
    )
    trusted_proxies: tuple[Any, ...] = setting(
        (),
        _networks,
        "addresses or networks of proxies whose X-Forwarded-For, X-Forwarded-Proto and Forwarded "
        "count, separated by commas",
    )
    proxy_protocol: bool = setting(
        False, _flag, "connections from trusted proxies begin with a PROXY header (version 1 or 2)"
    )
    ping_interval: float = setting(25.0, _seconds, "time between two heartbeats", "seconds")
    ping_timeout: float = setting(
        20.0, _seconds, "time in which a heartbeat must be answered", "seconds"
    )
    connect_timeout: float = setting(
        45.0, _seconds, "time in which a client must have joined a namespace", "seconds"
    )
    max_payload: int = setting(1_000_000, _bytes, "longest message or request body", "bytes")
    compression: bool = setting(
        False, _flag, "agree to compress WebSocket messages (permessage-deflate)"
    )
    max_outbox: int = setting(
        1_048_576, _bytes, "what may wait for one slow client before it is disconnected", "bytes"
    )
    max_pending: int = setting(
        67_108_864, _bytes, "what may wait in broadcasts before `emit` raises Overloaded", "bytes"
    )
    max_handlers: int = setting(
        64, _number(int, 1, 100_000), "handlers of one client that may run at a time"
    )
    max_namespaces: int = setting(
        64, _number(int, 1, 10_000), "namespaces that one client may join; it is refused more"
    )
    request_timeout: float = setting(
        30.0, _seconds, "time in which an HTTP request must have come whole", "seconds"
    )
    keep_alive: float = setting(
        75.0, _seconds, "time that an HTTP connection may rest between requests", "seconds"
    )
    drain_time: float = setting(
        0.0,
        _number(float, 0, 86_400),
        "time over which clients are sent away when the server stops, so that they do not all "
        "come back elsewhere at once",
        "seconds",
    )
    run_dir: str = setting(
        "",
        str,
        "folder for the socket of `hocket reload` and hocket.Emitter, of this user alone; "
        "empty: none",
    )
    reload_timeout: float = setting(
        60.0,
        _seconds,
        "time in which handlers and requests that run at a reload must have ended",
        "seconds",
    )
    data: str = setting(
        "",
        str,
        "folder for what is to last: users, devices, notifications; empty: none, and no "
        "notifications",
    )
    delivery_attempts: int = setting(
        16,
        _number(int, 1, 100),
        "tries after which a push to a device has failed for good; 16 are about two hours",
    )
    retention: float = setting(
        90.0,
        _days,
        "time that a notification which is over stays in inboxes and reports; 0: for ever",
        "days",
    )
    metrics: str = setting(
        "local",
        _choice("local", "all", "off"),
        "who may read /metrics: clients on this machine (local), everybody (all), nobody (off)",
    )
    keep_headers: bool = setting(
        True, _flag, "keep each client's request headers for `handshake.headers`"
    )
    secret: str = setting(
        "",
        str,
        "key that signs tokens; needed to listen on more than this machine with `hocket serve`",
        secret=True,
    )
    vapid_private_key: str = setting(
        "", str, "key of Web Push, made by `hocket vapid`; turns it on", secret=True
    )
    vapid_subject: str = setting(
        "", str, "where push services reach you: mailto:you@example.com or https://..."
    )
    fcm_credentials: str = setting(
        "", str, "file with the JSON key of a Firebase service account; turns FCM on"
    )
    fcm_url: str = setting("https://fcm.googleapis.com", _url, "where FCM is")
    apns_key: str = setting("", str, "file with the .p8 key of Apple's push service; turns it on")
    apns_key_id: str = setting("", str, "id of that key, 10 characters")
    apns_team: str = setting("", str, "id of its team, 10 characters")
    apns_topic: str = setting("", str, "the app's bundle id")
    apns_url: str = setting(
        "https://api.push.apple.com",
        _url,
        "where Apple's push service is; https://api.development.push.apple.com is for development",
    )
    apns_connections: int = setting(2, _number(int, 1, 100), "connections to Apple's push service")
    webhook_secret: str = setting(
        "",
        str,
        "key that signs webhooks, `whsec_` and base64; turns them on; several, separated by "
        "spaces, while one replaces another",
        secret=True,
    )
    email_server: str = setting(
        "", str, "smtp://user:password@host:587 or smtps://...; turns email on", secret=True
    )
    email_from: str = setting("", str, 'sender of emails, such as "Shop <news@example.com>"')
    templates: str = setting("", str, "folder with the templates of notifications; empty: none")
    allow_private_endpoints: bool = setting(
        False,
        _flag,
        "let webhooks and push subscriptions lead into private networks and over plain http: for "
        "tests only, it lets users reach whatever this machine can",
    )
    token_public_key: str = setting(
        "", str, "PEM file with the public key of a login that signs tokens (RS256 or ES256)"
    )
    token_jwks: str = setting(
        "",
        _keys,
        "https URL, or file, of the JSON Web Key Set of a login that signs tokens (RS256, ES256); "
        "http only from this machine",
    )
    token_audience: str = setting("", str, "what tokens must have as `aud`; empty: no `aud`")
    token_issuer: str = setting("", str, "what tokens must have as `iss`; empty: anything")
    token_cookie: str = setting(
        "hocket_token", _name, "cookie in which a browser may carry its token"
    )
    log_format: str = setting("text", str, "log lines for people (text) or for machines (json)")
    log_level: str = setting(
        "info", str, "least important log lines that are shown: debug, info, warning, error"
    )


@dataclass(frozen=True)
class Row:
    """A setting, as people see it."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    help: str
    unit: str
    secret: bool

    @property
    def variable(self) -> str:
        return f"HOCKET_{self.name.upper()}"

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def rows() -> list[Row]:
    """The table."""
    return [Row(each.name, each.default, **each.metadata) for each in fields(Settings)]


# Names that DESIGN reserves and that do nothing yet: refused, never ignored. A value in the tuple
# means "as if not given".
PLANNED: dict[str, tuple[Any, ...]] = {
    "recovery": (None,),
}


def refuse_planned(given: Mapping[str, Any]) -> None:
    """Raises UsageError for the first setting that does not work yet."""
    for name, harmless in PLANNED.items():
        if name in given and given[name] not in harmless:
            raise UsageError(
                f"{name}={given[name]!r} is not available in this version of Hocket; leave it out"
            )


def parse_value(row: Row, value: Any, source: str) -> Any:
    try:
        return row.parse(value)
    except (ValueError, TypeError, OverflowError) as error:
        wanted = (
            f"{error}"
            if not str(error).startswith(("invalid literal", "could not convert"))
            else ("a number of" if row.unit else "a number")
        )
        raise UsageError(
            f"{source}: {value!r} is not possible, it takes {wanted} {row.unit}".rstrip()
        ) from None


def load(
    explicit: Mapping[str, Any],
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = FILE,
) -> Settings:
    """All sources to Settings. Flags win over the environment, that over the file, that over what
    the program says (`explicit`).

    Args:
        environ: the environment; None: the process's.
        file: None: no file.

    Raises: UsageError for an unknown name or an impossible value.
    """
    environ = os.environ if environ is None else environ
    refuse_planned(
        {
            **explicit,
            **{
                name: environ[f"HOCKET_{name.upper()}"]
                for name in PLANNED
                if f"HOCKET_{name.upper()}" in environ
            },
        }
    )
    table = {row.name: row for row in rows()}
    if unknown := sorted(set(explicit) - set(table) - set(PLANNED)):
        raise UsageError(_no_setting(unknown[0]))
    from_file = _read_file(file, table) if file is not None else {}
    values: dict[str, Any] = {}
    for row in table.values():
        if flags and flags.get(row.name) is not None:
            values[row.name] = parse_value(row, flags[row.name], row.flag)
        elif row.variable in environ:
            values[row.name] = parse_value(row, environ[row.variable], row.variable)
        elif row.name in from_file:
            values[row.name] = parse_value(row, from_file[row.name], f"{file}: {row.name}")
        elif row.name in explicit:
            values[row.name] = parse_value(row, explicit[row.name], row.name)
    settings = Settings(**values)
    if settings.proxy_protocol and not settings.trusted_proxies:
        raise UsageError("proxy_protocol needs trusted_proxies: whose PROXY headers are to count?")
    return settings


def _read_file(file: str | os.PathLike[str], table: Mapping[str, Row]) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            import tomllib  # lazy: 5 ms of the start, for those who have the file

            content = tomllib.load(stream)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {error}") from None
    refuse_planned(content)
    if unknown := sorted(set(content) - set(table) - set(PLANNED)):
        raise UsageError(f"{file}: {_no_setting(unknown[0])}")
    return content


ALIKE: Final = 0.66  # of difflib's ratio: `data_dir` and `data` are, names of an app's own are not


def _nearest(name: str) -> str | None:
    from difflib import get_close_matches  # lazy: for those who have misspelt something

    return next(iter(get_close_matches(name, [row.name for row in rows()], 1, ALIKE)), None)


def _no_setting(name: str) -> str:
    near = _nearest(name)
    hint = f"did you mean {near!r}?" if near else "`hocket run --help` lists them"
    return f"no setting is called {name!r}: {hint}"


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """What to say of variables that are almost settings. Others are an app's own, or Kubernetes'
    (`HOCKET_SERVICE_HOST`).

    Args:
        environ: as for `load`.
    """
    known = {row.variable for row in rows()}
    names = os.environ if environ is None else environ
    return [
        f"{name} is no setting: did you mean HOCKET_{near.upper()}?"
        for name in sorted(names)
        if name.startswith("HOCKET_") and name not in known
        if (near := _nearest(name.removeprefix("HOCKET_").lower()))
    ]
