"""Encryption of Web Push against the vector of RFC 8291, appendix A."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from hocket.providers.encryption import MAX_MESSAGE, RECORD, encrypt, point_of
from hocket.providers.vapid import decode, encode

MESSAGE = b"When I grow up, I want to be a watermelon"
POINT = decode(
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
AUTH = decode("BTBZMqHH6r4Tts7J_aSIgg")
SALT = decode("DGv6ra1nlYgDCS1FRnbzlw")
KEY = derive_private_key(
    int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), SECP256R1()
)
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)


def test_the_vector_of_the_rfc() -> None:
    assert encode(encrypt(MESSAGE, POINT, AUTH, KEY, SALT)) == BODY
    assert encode(point_of(KEY)).startswith("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vC")


def test_the_longest_message_makes_one_whole_record() -> None:
    assert MAX_MESSAGE == 3_993
    assert len(encrypt(b"x" * MAX_MESSAGE, POINT, AUTH, KEY, SALT)) == RECORD
    with pytest.raises(ValueError, match="3994 bytes, and 3993 can be encrypted"):
        encrypt(b"x" * (MAX_MESSAGE + 1), POINT, AUTH, KEY, SALT)


@pytest.mark.parametrize("point", [b"", POINT[:-1], b"\x04" + bytes(64), POINT[:-1] + b"\x00"])
def test_a_point_that_is_not_on_the_curve_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        encrypt(MESSAGE, point, AUTH, KEY, SALT)
