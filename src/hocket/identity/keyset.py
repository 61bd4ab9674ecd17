"""Public keys: one of a PEM file, or several of a JSON Web Key Set (RFC 7517), which change while
the server runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec

from hocket.errors import UsageError

if TYPE_CHECKING:
    from hocket.identity.tokens import Key

log = logging.getLogger("hocket")

MAX_SET: Final = 262_144  # bytes of a key set
MAX_KEYS: Final = 100  # that are read of it
MIN_RSA: Final = 2_048  # bits (RFC 7518 section 3.3)
PAUSE: Final = 10.0  # seconds between two looks: tokens with unknown key ids cannot cause more
FRESH: Final = 900.0  # seconds after which a set that is in use is looked at again
STALE: Final = 86_400.0  # seconds after which a set that cannot be renewed does not count any more


def algorithm_of(key: Key) -> str | None:
    """The one algorithm that a public key of `cryptography` is used with; None: it is not used."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # lazy: an extra

    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    return None


def read_pem(pem: bytes) -> dict[str, Key]:
    """A public key, by its algorithm. Raises UsageError."""
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # lazy: extra
    except ImportError:
        raise UsageError("public keys need the package cryptography: hocket[push]") from None
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise UsageError("token_public_key: no PEM file with a public key") from None
    algorithm = algorithm_of(key)
    if algorithm is None:
        raise UsageError(
            f"token_public_key: an RSA key of {MIN_RSA} or more bits, or one on the curve P-256"
        )
    return {algorithm: key}


def read_set(content: bytes) -> dict[tuple[str, str | None], Key]:
    """The usable keys of a set, by algorithm and id. Raises ValueError for what is no set.

    Keys that are not for signatures, symmetric ones, weak ones, those for other algorithms and
    those that cannot be read are left out (RFC 7517 section 5). A member that is null is as absent.
    """
    found = msgspec.json.decode(content)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("no JSON Web Key Set")
    keys: dict[tuple[str, str | None], Key] = {}
    for entry in found["keys"][:MAX_KEYS]:
        if isinstance(entry, dict) and (key := _public_key(entry)) is not None:
            algorithm = algorithm_of(key)
            if algorithm is not None and entry.get("alg") in (None, algorithm):
                kid = entry.get("kid")
                keys.setdefault((algorithm, kid if isinstance(kid, str) else None), key)
    return keys


def _public_key(entry: dict[str, Any]) -> Key | None:
    """One key of a set; None if it is not for checking signatures."""
    kind = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if kind is None or entry.get("use") not in (None, "sig"):
        return None
    uses = entry.get("key_ops")
    if uses is not None and not (isinstance(uses, list) and "verify" in uses):
        return None
    try:
        return jwt.PyJWK(entry, kind).key
    except Exception:  # whatever the libraries say of one key, the others are good
        return None


class KeySet:
    """A JSON Web Key Set, kept and renewed.

    Args:
        fetch: gives the set as it is now; raises what it likes.
        clock: seconds, monotonic.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[tuple[str, str | None], Key] = {}
        self._read = -STALE
        self._looked = -STALE
        self._looking: asyncio.Task[None] | None = None

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """See KeySource. A token that names no key means the only one of its algorithm."""
        age = self._clock() - self._read
        if age >= STALE:
            return None
        if age >= FRESH:
            self._look()
        if kid is not None:
            return self._keys.get((algorithm, kid))
        fitting = [key for (its, _), key in self._keys.items() if its == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def renew(self) -> bool:
        """See KeySource. All who wait share one look."""
        task = self._look()
        if task is not None:
            await asyncio.shield(task)
        return self._clock() - self._read < STALE

    def _look(self) -> asyncio.Task[None] | None:
        """The look that is under way, or a new one; None: it is too early for one."""
        if self._looking is None and self._clock() - self._looked >= PAUSE:
            self._looked = self._clock()
            self._looking = asyncio.get_running_loop().create_task(self._take())
        return self._looking

    async def _take(self) -> None:
        try:
            self._keys = read_set(await self._fetch())
            self._read = self._clock()
        except Exception as error:
            log.warning("the key set cannot be read: %s: %s", type(error).__name__, error)
        finally:
            self._looking = None
