"""Email over SMTP.

Source: RFC 5321 (answers), RFC 2034 and 3463 (their three-part codes), RFC 5322 and 3834 (the
message), RFC 2047 (its subject). Python's `email` builds it but for the two headers that others
supply: it takes a text that looks like an encoded word for one, and writes what that hides, line
ends too.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from hashlib import sha256
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push, Retry
from hocket.settings import Settings

MAX_ADDRESS: Final = 254  # characters, RFC 5321 with its erratum
MAX_SUBJECT: Final = 200  # characters; mail programs show fewer
PLAIN_SUBJECT: Final = 69  # characters that fit on a line of 78 with the header's name
POLICY: Final = SMTP.clone(cte_type="7bit")  # not every server takes 8BITMIME (RFC 6152)
SERVER_WAIT: Final = 10.0  # seconds until a server is tried again that was not there
PORTS: Final = {"smtp": 587, "smtps": 465}
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_ENCODED: Final = "=?"  # begins an encoded word, which no address may hold: RFC 2047 section 5
_NO_TEXT: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # controls, halves of pairs, line ends
# "Bad destination mailbox address", and its domain takes no mail: RFC 3463 section 3.2, RFC 7505.
# Only where such a code stands, RFC 2034 section 4: an address may follow that looks like one.
_NOBODY: Final = re.compile(r"5\.1\.(1|10)(?!\S)")


class Server(msgspec.Struct, frozen=True):
    """The setting `email_server`, taken apart. `encrypted`: from the first byte on."""

    host: str
    port: int
    encrypted: bool
    starttls: bool
    user: str
    password: str


def read_server(url: str) -> Server:
    """Of `smtp://user:password@host:port` (STARTTLS; `?tls=no` for none) or `smtps://...`. Raises
    UsageError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        port = 0
    if not port or not parts.hostname or parts.query not in ("", "tls=no"):
        raise UsageError(
            "HOCKET_EMAIL_SERVER is smtp://user:password@host:587 (with STARTTLS; ?tls=no at its "
            "end: none) or smtps://user:password@host:465"
        )
    return Server(
        parts.hostname,
        port,
        parts.scheme == "smtps",
        parts.scheme == "smtp" and not parts.query,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def check_address(text: str) -> str:
    """One address, without a name; its domain in lower case. Raises ValueError."""
    text = text.strip()
    if len(text) > MAX_ADDRESS or not _ADDRESS.fullmatch(text) or _ENCODED in text:
        raise ValueError("not an email address")
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def check_sender(text: str) -> str:
    """The setting `email_from`: an address, with a name before it or not. Raises UsageError."""
    try:
        if not text.isprintable():
            raise ValueError
        check_address(parseaddr(text)[1])
    except ValueError:
        raise UsageError(
            'HOCKET_EMAIL_FROM is an address such as "Shop <news@example.com>"'
        ) from None
    return text


class Email:
    """The provider `email`. A device's token is its address."""

    name = "email"
    limits = Limits(concurrency=10, timeout=60.0)

    def __init__(self, settings: Settings) -> None:
        self._server = read_server(settings.email_server)
        self._from = check_sender(settings.email_from)
        self._sender = parseaddr(self._from)[1]
        self._idle: list[aiosmtplib.SMTP] = []

    def check(self, token: str) -> str:
        return check_address(token)

    async def send(self, push: Push) -> Outcome:
        message = message_of(push, self._from, time.time)
        used = bool(self._idle)
        try:
            return await self._deliver(push.token, message)
        except aiosmtplib.SMTPServerDisconnected as error:
            if not used:
                return Retry(f"the mail server hung up: {error}")
        # A connection that rested was closed meanwhile: all of them probably were.
        await self.close()
        try:
            return await self._deliver(push.token, message)
        except aiosmtplib.SMTPServerDisconnected as error:
            return Retry(f"the mail server hung up: {error}")

    async def _deliver(self, address: str, message: bytes) -> Outcome:
        try:
            client = self._idle.pop() if self._idle else await self._connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            return Retry(f"the mail server refuses us: {error}", SERVER_WAIT, pause=True)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Retry(f"no mail server: {error}", SERVER_WAIT, pause=True)
        try:
            _, said = await client.sendmail(self._sender, [address], message)
            outcome: Outcome = Delivered(said[:200])
        except aiosmtplib.SMTPRecipientsRefused as error:
            outcome = outcome_of(error.recipients[0])
        except aiosmtplib.SMTPResponseException as error:
            outcome = outcome_of(error)
        except aiosmtplib.SMTPServerDisconnected:
            client.close()
            raise
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Retry(f"{type(error).__name__}: {error}")
        except BaseException:  # cancelled in the middle of a conversation
            client.close()
            raise
        self._idle.append(client)
        return outcome

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=self.limits.timeout / 2,
            use_tls=server.encrypted,
            start_tls=server.starttls,
            username=server.user or None,
            password=server.password or None,
        )
        await client.connect()
        return client

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def outcome_of(error: aiosmtplib.SMTPResponseException) -> Outcome:
    """What a refusal means: 4xx passes, 5xx is final (RFC 5321 section 4.2.1). Only what was said
    about the recipient, not about the sender or the mail, is a word on the device.
    """
    text = " ".join(f"{error.code} {error.message}".split())[:200]
    if error.code < 500:
        return Retry(text, pause=error.code == 421)
    if isinstance(error, aiosmtplib.SMTPRecipientRefused) and _NOBODY.match(error.message):
        return Dead(text)
    return Failed(text)


def message_of(push: Push, sender: str, clock: Callable[[], float]) -> bytes:
    """The message, ready to be sent. Its `Message-ID` is the same whenever it is repeated."""
    message = EmailMessage(policy=POLICY)
    message["From"] = sender
    message["Date"] = formatdate(clock())
    key = sha256(f"{push.notification} {push.token}".encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{key}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join(part for part in (push.body, push.url) if part) + "\n")
    if push.html:
        message.add_alternative(push.html, subtype="html")
    ours = f"To: {push.token}\r\nSubject: {_subject(push.title)}\r\n"
    return ours.encode("ascii") + message.as_bytes()


def _subject(title: str) -> str:
    """A title as a header's value: as it is where that is plain and fits, else as encoded words."""
    text = "".join(" " if unicodedata.category(char) in _NO_TEXT else char for char in title)
    text = text[:MAX_SUBJECT] if text.strip() else "Notification"
    plain = text.isascii() and _ENCODED not in text and text == " ".join(text.split())
    if plain and len(text) <= PLAIN_SUBJECT:
        return text
    return Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")
