"""Email to a real SMTP server (aiosmtpd), and to ones that refuse."""

from __future__ import annotations

import asyncio
import email
import email.policy
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hypothesis
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from hocket.errors import UsageError
from hocket.providers.base import Dead, Delivered, Failed, Outcome, Retry
from hocket.providers.email import Email, check_address, check_sender, message_of, read_server
from tests.peers import push, settings
from tests.support import asynchronous


class Mailbox:
    """What came, and what is said to recipients and messages."""

    def __init__(self, rcpt: str = "250 fine", data: str = "250 queued as 1") -> None:
        self.rcpt, self.data = rcpt, data
        self.mails: list[Envelope] = []
        self.sessions = 0
        self.serving: list[SMTP] = []

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        return self.data


@asynccontextmanager
async def mail_server(mailbox: Mailbox, **options: Any) -> AsyncIterator[str]:
    def make() -> SMTP:
        mailbox.sessions += 1
        with warnings.catch_warnings(action="ignore"):  # passwords without TLS: for a test
            server = SMTP(mailbox, hostname="mail.test", loop=asyncio.get_running_loop(), **options)
        mailbox.serving.append(server)
        return server

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in mailbox.serving:
            hang_up(each)


def hang_up(server: SMTP) -> None:
    if server.transport is not None:
        server.transport.close()


def provider(where: str, user: str = "") -> Email:
    server = f"smtp://{user}{where}?tls=no"
    return Email(settings(email_server=server, email_from="Kettle <kettle@example.com>"))


def parsed(content: bytes | str | None) -> email.message.EmailMessage:
    assert isinstance(content, bytes)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


@asynchronous
async def test_a_mail_with_text_and_html_arrives() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as where:
        sender = provider(where)
        token = sender.check("Ada@Example.COM")
        outcome = await sender.send(push(token, title="Tee für zwei", html="<p>Der Kessel</p>"))
        assert outcome == Delivered("queued as 1")
        (mail,) = mailbox.mails
        assert mail.mail_from == "kettle@example.com"
        assert mail.rcpt_tos == ["Ada@example.com"]
        message = parsed(mail.content)
        assert message["Subject"] == "Tee für zwei"
        assert message["From"] == "Kettle <kettle@example.com>"
        assert message["To"] == "Ada@example.com"
        assert message["Auto-Submitted"] == "auto-generated"
        plain, html = message.get_body(("plain",)), message.get_body(("html",))
        assert plain is not None
        assert html is not None
        text = ["The kettle boils", "", "https://example.com/kitchen"]
        assert plain.get_content().splitlines() == text
        assert html.get_content().strip() == "<p>Der Kessel</p>"
        await sender.close()


@asynchronous
async def test_a_connection_is_used_again_and_made_anew_when_it_is_gone() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as where:
        sender = provider(where)
        for _ in range(3):
            assert isinstance(await sender.send(push("ada@example.com")), Delivered)
        assert mailbox.sessions == 1
        hang_up(mailbox.serving[0])
        assert isinstance(await sender.send(push("ada@example.com")), Delivered)
        assert mailbox.sessions == 2
        assert len(mailbox.mails) == 4
        ids = {parsed(mail.content)["Message-ID"] for mail in mailbox.mails}
        assert len(ids) == 1  # a repeat is known by it
        await sender.close()


@pytest.mark.parametrize(
    ("rcpt", "data", "outcome"),
    [
        ("550 5.1.1 no such user", "", Dead("550 5.1.1 no such user")),
        ("550 5.1.10 no such domain", "", Dead("550 5.1.10 no such domain")),
        ("550-5.1.1 no\r\n550 5.1.1 user", "", Dead("550 5.1.1 no 5.1.1 user")),
        ("550 5.1.1", "", Dead("550 5.1.1")),
        ("550 5.1.12 what", "", Failed("550 5.1.12 what")),
        ("550 5.7.1 [185.5.1.10] blocked", "", Failed("550 5.7.1 [185.5.1.10] blocked")),
        ("550 not 5.1.1", "", Failed("550 not 5.1.1")),
        ("250 ok", "550 5.1.1 who is it from", Failed("550 5.1.1 who is it from")),
        ("550 5.7.1 not from you", "", Failed("550 5.7.1 not from you")),
        ("550 no", "", Failed("550 no")),
        ("450 4.2.1 try later", "", Retry("450 4.2.1 try later")),
        ("250 ok", "554 5.6.0 spam", Failed("554 5.6.0 spam")),
        ("250 ok", "452 4.3.1 disk full", Retry("452 4.3.1 disk full")),
        ("250 ok", "421 4.3.2 closing", Retry("421 4.3.2 closing", pause=True)),
    ],
)
@asynchronous
async def test_what_answers_mean(rcpt: str, data: str, outcome: Outcome) -> None:
    mailbox = Mailbox(rcpt, data)
    async with mail_server(mailbox) as where:
        sender = provider(where)
        assert await sender.send(push("ada@example.com")) == outcome
        mailbox.rcpt, mailbox.data = "250 ok", "250 ok"
        assert isinstance(await sender.send(push("bob@example.com")), Delivered)
        await sender.close()


@asynchronous
async def test_a_sender_that_is_refused_is_no_word_on_the_recipient() -> None:
    class Strict(Mailbox):
        async def handle_MAIL(  # noqa: N802 aiosmtpd's name
            self, server: SMTP, session: Session, envelope: Envelope, *_: object
        ) -> str:
            return "550 5.1.1 <kettle@example.com>: Sender address rejected"

    async with mail_server(Strict()) as where:
        sender = provider(where)
        assert isinstance(await sender.send(push("ada@example.com")), Failed)
        await sender.close()


@asynchronous
async def test_without_a_server_nobody_is_tried() -> None:
    sender = provider("127.0.0.1:1")
    outcome = await sender.send(push("ada@example.com"))
    assert isinstance(outcome, Retry)
    assert outcome.pause
    assert outcome.after == 10.0
    assert outcome.error.startswith("no mail server: ")


@asynchronous
async def test_a_password_that_is_refused_is_no_fault_of_a_mail() -> None:
    def refuse(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False)

    mailbox = Mailbox()
    options = {"authenticator": refuse, "auth_require_tls": False, "auth_required": True}
    async with mail_server(mailbox, **options) as where:
        sender = provider(where, user="ada:secret@")
        outcome = await sender.send(push("ada@example.com"))
        assert isinstance(outcome, Retry)
        assert outcome.pause
        assert "refuses us" in outcome.error
        assert "secret" not in outcome.error
        await sender.close()


@asynchronous
async def test_a_server_without_starttls_gets_no_mail_unless_told_so() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as where:
        sender = Email(settings(email_server=f"smtp://{where}", email_from="k@example.com"))
        outcome = await sender.send(push("ada@example.com"))
        assert isinstance(outcome, Retry)
        assert mailbox.mails == []
        await sender.close()


HEADERS = sorted(
    [
        *("Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date"),
        *("From", "MIME-Version", "Message-ID", "Subject", "To"),
    ]
)
ENCODED = "=?utf-8?q?Hi=0ABcc:_evil@example.com?="
PIECES = ("=?utf-8?q?", "=?utf-8?b?", "=?x?q?", "?=", "=0A", "=0D=0A", "=", "?", "_", "Bcc: e@x.y")


@hypothesis.settings(deadline=None)  # no test asks how fast a machine is
@given(st.text(), st.text())
def test_no_header_gets_in_through_a_text(title: str, body: str) -> None:
    injected = f"{title}\r\nBcc: eve@example.com\r\n\r\n{body}\n.\r\nMAIL FROM:<x>"
    mail = message_of(
        push("ada@example.com", title=injected, body=injected), "k@example.com", float
    )
    message = email.message_from_bytes(mail, policy=email.policy.SMTP)
    assert sorted(message.keys()) == HEADERS
    assert message["To"] == "ada@example.com"


@hypothesis.settings(deadline=None)
@hypothesis.example(ENCODED)
@hypothesis.example("=?utf-8?q?Hi=0D=0ABcc:_evil@example.com=0D=0A=0D=0Abody?=")
@hypothesis.example("=?utf-8?b?SGkKQmNjOiBldmlsQGV4YW1wbGUuY29t?= x")
@hypothesis.example("=?utf-8?q?=ff=fe?=")
@hypothesis.example("  \u3000Tee\u200d  für\x85zwei ")
@hypothesis.example("a" * 200)
@hypothesis.example("word " * 39 + "ends")
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=30)).map("".join))
def test_a_title_arrives_as_it_is(title: str) -> None:
    mail = message_of(push("ada@example.com", title=title), "k@example.com", float)
    message = parsed(mail)
    assert sorted(message.keys()) == HEADERS
    line_ends = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ")
    told = title.translate(line_ends)[:200]
    assert message["Subject"] == (told if told.strip() else "Notification")
    assert mail.isascii()
    assert max(len(line) for line in mail.split(b"\r\n")) <= 78  # RFC 5322 section 2.1.1


@pytest.mark.parametrize("text", ["Der Kessel kocht über", "\u7269" * 2_000, "a" * 2_000])
def test_a_text_needs_no_8bit_transport(text: str) -> None:
    mail = message_of(push("ada@example.com", body=text, html=f"<p>{text}"), "k@x.de", float)
    assert mail.isascii()
    plain = parsed(mail).get_body(("plain",))
    assert plain is not None
    assert plain.get_content().startswith(text)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "ada@exa mple.com",
            "ä@example.com",
        ),
        *("ada@example.com\nBcc: eve@example.com", "ada@example.com,eve@example.com"),
        *("Ada <ada@example.com>", "ada@-example.com", "a..b@example.com", "x" * 250 + "@a.de"),
        *("ada@example.com\r\nRCPT TO:<eve@example.com>", '"a b"@example.com', "a@[127.0.0.1]"),
        "=?utf-8?q?a=0d=0ab?=@x.com",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        check_address(address)


def test_what_the_settings_take() -> None:
    server = read_server("smtps://ada%40x:p%2Fw@mail.example.com")
    assert (server.host, server.port, server.encrypted) == ("mail.example.com", 465, True)
    assert (server.user, server.password, server.starttls) == ("ada@x", "p/w", False)
    assert read_server("smtp://mail.example.com").starttls
    assert not read_server("smtp://mail.example.com:25?tls=no").starttls
    for wrong in (
        "mail.example.com",
        "http://x",
        "smtp://",
        "smtp://x:99999",
        "smtp://x?tls=maybe",
    ):
        with pytest.raises(UsageError, match="HOCKET_EMAIL_SERVER is"):
            read_server(wrong)
    for wrong in ("", "x", "a@b\nBcc: c@d"):
        with pytest.raises(UsageError, match="HOCKET_EMAIL_FROM is"):
            check_sender(wrong)
