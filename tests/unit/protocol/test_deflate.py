"""permessage-deflate: what is agreed on, and messages in and out of their compressed form."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.errors import WebSocketError
from hocket.protocol import deflate, websocket
from hocket.protocol.engineio import DEFLATED, FORMS, WEBSOCKET, EncodedPacket, deflated_wire

BASE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "window", "answer"),
    [
        ("permessage-deflate", 15, BASE),
        ("permessage-deflate; client_max_window_bits", 15, BASE),
        ("permessage-deflate; client_max_window_bits=8", 15, BASE),
        ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", 15, BASE),
        ("permessage-deflate; server_max_window_bits=10", 10, BASE + "; server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="9"', 9, BASE + "; server_max_window_bits=9"),
        # RFC 7692 section 7.1.3, "fallback": the first that will do
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=10, "
            "permessage-deflate; client_max_window_bits",
            10,
            BASE + "; server_max_window_bits=10",
        ),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, BASE),
        ("x-other, permessage-deflate", 15, BASE),
        ('x-other; a="b, c", permessage-deflate', 15, BASE),
    ],
)
def test_what_is_agreed_on(offers: str, window: int, answer: str) -> None:
    assert deflate.negotiate(offers) == (window, answer)


@pytest.mark.parametrize(
    "parameters",
    [
        "server_max_window_bits=8",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=x",
        "client_max_window_bits=16",
        "client_max_window_bits=09",
        "server_no_context_takeover=1",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "unknown",
        "=",
        ";",
        'server_max_window_bits="10',
    ],
)
def test_offers_that_are_declined(parameters: str) -> None:
    assert deflate.negotiate(f"permessage-deflate; {parameters}") is None


@given(st.text(max_size=80))
def test_any_offer_is_read(text: str) -> None:
    deflate.negotiate(text)
    deflate.negotiate(f"permessage-deflate; {text}")


# RFC 7692 section 7.2.3
@pytest.mark.parametrize(
    "data",
    [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",  # one block
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",  # not compressed
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",  # with BFINAL
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",  # two blocks
    ],
)
def test_the_examples_of_the_rfc(data: bytes) -> None:
    assert deflate.decompress(data, 5) == b"Hello"


@given(st.binary(max_size=3_000), st.sampled_from(deflate.WINDOWS))
def test_what_goes_in_comes_out(message: bytes, window: int) -> None:
    assert deflate.decompress(deflate.compress(message, window), len(message)) == message


def test_the_window_is_kept() -> None:
    """A message whose repetition is farther away than 2**9 bytes: a reader with that window can
    read it.
    """
    block = bytes(range(256)) * 4
    message = block + bytes(2_000) + block
    reader = zlib.decompressobj(wbits=-9)
    assert reader.decompress(deflate.compress(message, 9) + deflate.TAIL) == message


def code_of(act: Callable[[], object]) -> int:
    with pytest.raises(WebSocketError) as caught:
        act()
    return caught.value.code


def test_a_bomb_is_put_out_early() -> None:
    bomb = deflate.compress(bytes(100_000_000), 15)
    tracemalloc.start()
    assert code_of(lambda: deflate.decompress(bomb, 1_000_000)) == websocket.TOO_BIG
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
    assert code_of(lambda: deflate.decompress(b"\xff\xff\xff", 100)) == websocket.NOT_UTF8


# On the wire


def masked(first: int, payload: bytes) -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


def events(data: bytes, deflate: bool = True, max_size: int = 10_000) -> list[tuple[int, bytes]]:
    receiver = websocket.Receiver(max_size, deflate)
    receiver.receive_data(data)
    return list(receiver.events())


HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def test_compressed_and_other_messages() -> None:
    data = masked(0xC1, HELLO) + masked(0x81, b"plain") + masked(0xC2, HELLO)
    assert events(data) == [(1, b"Hello"), (1, b"plain"), (2, b"Hello")]


@given(st.lists(st.integers(0, 7), max_size=5))
def test_fragments_of_a_compressed_message(cuts: list[int]) -> None:
    """Cut anywhere, with a ping in between; only the first fragment has the bit."""
    edges = [0, *sorted(cuts), len(HELLO)]
    parts = [HELLO[a:b] for a, b in pairwise(edges)]
    data = b""
    for at, part in enumerate(parts):
        first = (0x41 if at == 0 else 0x00) | (0x80 if at == len(parts) - 1 else 0)
        data += masked(first, part) + masked(0x89, b"?")
    heard = events(data)
    assert [each for each in heard if each[0] == 1] == [(1, b"Hello")]


@pytest.mark.parametrize(
    ("data", "negotiated", "code"),
    [
        (masked(0xC1, HELLO), False, 1002),
        (masked(0xA1, HELLO), True, 1002),
        (masked(0xD1, HELLO), True, 1002),
        (masked(0xC9, b""), True, 1002),
        (masked(0x41, HELLO[:3]) + masked(0xC0, HELLO[3:]), True, 1002),
        (masked(0xC1, b"\xff\xff\xff"), True, 1007),
        (masked(0xC1, deflate.compress(b"\xff\xfe", 15)), True, 1007),
        (masked(0xC2, deflate.compress(bytes(10_001), 15)), True, 1009),
    ],
)
def test_what_is_refused(data: bytes, negotiated: bool, code: int) -> None:
    assert code_of(lambda: events(data, negotiated)) == code


def test_text_across_fragments_is_checked_when_it_is_whole() -> None:
    whole = deflate.compress("é".encode() * 10, 15)
    data = masked(0x41, whole[:2]) + masked(0x80, whole[2:])
    assert events(data) == [(1, "é".encode() * 10)]


# Forms


def payloads(form: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(form):
        length, start = form[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(form[at + 2 : at + 4], "big"), at + 4
        yield form[at], form[start : start + length]
        at = start + length


def test_long_packets_are_compressed_once_for_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compress = deflate.compress

    def counted(message: bytes, window: int) -> bytes:
        made.append(window)
        return compress(message, window)

    monkeypatch.setattr(deflate, "compress", counted)
    packet = EncodedPacket(b'42["a","' + b"x" * 1_000 + b'"]', [b"y" * 1_000])
    for wire in (deflated_wire(15), deflated_wire(9), deflated_wire(15)):
        (text, first), (binary, second) = payloads(packet.form(wire))
        assert (text, binary) == (0xC1, 0xC2)
        assert deflate.decompress(first, 10_000) == packet.text
        assert deflate.decompress(second, 10_000) == packet.attachments[0]
    assert made == [15, 15, 9, 9]


def test_short_packets_and_those_that_say_so_are_not_compressed() -> None:
    long = b'42["a","' + b"x" * 1_000 + b'"]'
    for packet in (EncodedPacket(b'42["a"]'), EncodedPacket(long, compress=False)):
        assert packet.form(deflated_wire(15)) == packet.form(WEBSOCKET)


def test_there_is_a_form_for_each_window() -> None:
    assert [deflated_wire(window) for window in deflate.WINDOWS] == [*range(DEFLATED, len(FORMS))]
