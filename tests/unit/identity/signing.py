"""Tokens and keys for tests, right ones and wrong ones, made without Hocket."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "s" * 32
NOW = 1_800_000_000.0


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def other_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def pem(key: Any) -> bytes:
    out: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return out


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    """A public key as an entry of a key set."""
    kind = jwt.algorithms.RSAAlgorithm
    to_jwk: Any = kind if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(to_jwk.to_jwk(key.public_key())), **more}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], claims: Any, secret: bytes | None = None) -> str:
    """A token with any header; signed with HMAC-SHA256, or not at all."""
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    text = ".".join(parts)
    mac = b"" if secret is None else hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{base64url(mac)}"


def claims(**more: Any) -> dict[str, Any]:
    """Good ones at NOW, changed; None leaves one out."""
    all_claims = {"sub": "ada", "exp": NOW + 60, **more}
    return {name: value for name, value in all_claims.items() if value is not None}


def hs256(secret: str = SECRET, **more: Any) -> str:
    return by_hand({"alg": "HS256", "typ": "JWT"}, claims(**more), secret.encode())


def signed(key: Any, algorithm: str, kid: str | None = None, **more: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers=headers)
