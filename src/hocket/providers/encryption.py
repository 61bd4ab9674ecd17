"""A message that only one browser can read. Pure: keys and salt come from the caller.

Source: RFC 8291 (Web Push), RFC 8188 (its content coding, aes128gcm), RFC 5869 (HKDF). One record
is always enough, and its length is the largest that a push service must take.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import digest
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD: Final = 4_096  # bytes of a body that no push service may refuse (RFC 8030 section 7.2)
POINT: Final = 65  # bytes of an uncompressed point of P-256
OVERHEAD: Final = 16 + 4 + 1 + POINT + 1 + 16  # salt, record size, key's length, key, mark, tag
MAX_MESSAGE: Final = RECORD - OVERHEAD  # bytes: 3,993

_CURVE: Final = SECP256R1()
_ECDH: Final = ECDH()
_HEAD: Final = RECORD.to_bytes(4, "big") + bytes([POINT])
_KEY_INFO: Final = b"Content-Encoding: aes128gcm\x00\x01"
_NONCE_INFO: Final = b"Content-Encoding: nonce\x00\x01"


def read_point(point: bytes) -> EllipticCurvePublicKey:
    """A browser's public key (65 bytes). Raises ValueError when it is not on the curve."""
    return EllipticCurvePublicKey.from_encoded_point(_CURVE, point)


def point_of(key: EllipticCurvePrivateKey) -> bytes:
    """The public key of a private one, 65 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encrypt(
    message: bytes, point: bytes, auth: bytes, key: EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """The body of a push.

    Args:
        message: at most MAX_MESSAGE bytes.
        point, auth: the browser's public key (65 bytes) and secret (16 bytes).
        key: made for this message alone.
        salt: 16 random bytes.

    Raises: ValueError for a message that is too long, or a point that is not on the curve.
    """
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"{len(message)} bytes, and {MAX_MESSAGE} can be encrypted")
    own = point_of(key)
    # HKDF of one block is two HMACs: extract with the salt, then expand with the info and a 1.
    shared = digest(auth, key.exchange(_ECDH, read_point(point)), sha256)
    secret = digest(shared, b"WebPush: info\x00" + point + own + b"\x01", sha256)
    pseudo_random = digest(salt, secret, sha256)
    cipher = AESGCM(digest(pseudo_random, _KEY_INFO, sha256)[:16])
    nonce = digest(pseudo_random, _NONCE_INFO, sha256)[:12]
    return salt + _HEAD + own + cipher.encrypt(nonce, message + b"\x02", None)
