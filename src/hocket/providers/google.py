"""Access tokens of Google, for a service account: an assertion signed with its key buys one.

Source: RFC 7523 section 2.1 (the grant), and Google's page "Using OAuth 2.0 for server to server
applications".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import jwt
import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hocket.errors import UsageError
from hocket.providers.outbound import Client, UnreachableError

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME: Final = 3_600  # seconds: the longest that an assertion may ask for
PATIENCE: Final = 10.0  # seconds that buying a token may take
EARLY: Final = 300.0  # seconds before its end in which a token is renewed


class Account(msgspec.Struct, frozen=True):
    """A service account's key file."""

    project_id: str
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 an address


class Granted(msgspec.Struct, frozen=True):
    """What the token endpoint answers."""

    access_token: str
    expires_in: float


def read_account(path: str) -> Account:
    """Read a key file. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            account = msgspec.json.decode(file.read(100_000), type=Account)
        load_pem_private_key(account.private_key.encode(), None)
    except OSError as error:
        raise UsageError(f"HOCKET_FCM_CREDENTIALS: {error}") from None
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise UsageError(
            f"HOCKET_FCM_CREDENTIALS: {path} is not the JSON key of a service account: {error}"
        ) from None
    return account


class NoTokenError(Exception):
    """There is no access token to be had now. `after`: seconds that were asked for."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class AccessToken:
    """The token of an account, bought when it is needed and renewed before it ends; however many
    ask for it at a time, one request is made.
    """

    def __init__(
        self, account: Account, client: Client, clock: Callable[[], float] = time.time
    ) -> None:
        self._account = account
        self._client = client
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def get(self) -> str:
        """A token that is valid for a while. Raises NoTokenError."""
        if self._clock() < self._until - EARLY:
            return self._token
        async with self._asking:
            if self._clock() < self._until - EARLY:  # somebody else has asked meanwhile
                return self._token
            try:
                await self._renew()
            except NoTokenError:
                if self._clock() >= self._until:  # else the old one still does
                    raise
            return self._token

    def forget(self, token: str) -> None:
        """This one was refused."""
        if token == self._token:
            self._until = 0.0

    async def _renew(self) -> None:
        form = urlencode({"grant_type": GRANT, "assertion": self._assertion()}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._client.post(self._account.token_uri, headers, form)
        except UnreachableError as error:
            raise NoTokenError(f"no access token from Google: {error}") from None
        except TimeoutError:
            raise NoTokenError(f"no access token from Google within {PATIENCE:g} s") from None
        if answer.status != 200:
            why = f"no access token from Google: HTTP {answer.status} {answer.text}"
            raise NoTokenError(why, answer.retry_after)
        try:
            granted = msgspec.json.decode(answer.body, type=Granted)
        except (msgspec.DecodeError, UnicodeError):
            raise NoTokenError("no access token from Google: its answer is not one") from None
        self._token = granted.access_token
        self._until = self._clock() + granted.expires_in

    def _assertion(self) -> str:
        now = int(self._clock())
        account = self._account
        claims = {
            "iss": account.client_email,
            "scope": SCOPE,
            "aud": account.token_uri,
            "iat": now,
            "exp": now + LIFETIME,
        }
        headers = {"kid": account.private_key_id} if account.private_key_id else None
        return jwt.encode(claims, account.private_key, "RS256", headers)
