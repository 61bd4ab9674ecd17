"""Hocket's providers, as its delivery process uses them."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sending import TEXT, arguments, measure, run, subscriptions

from hocket.providers.base import Delivered, Push
from hocket.providers.registry import configured
from hocket.providers.vapid import make_private_key
from hocket.settings import load


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def given(kind: str, url: str, folder: str) -> dict[str, Any]:
    """The settings of one provider."""
    file = os.path.join(folder, "key")
    if kind == "webpush":
        return {"vapid_private_key": make_private_key(), "vapid_subject": "mailto:a@example.com"}
    if kind == "webhook":
        return {"webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    if kind == "apns":
        with open(file, "w") as out:
            out.write(pem(ec.generate_private_key(ec.SECP256R1())))
        return {"apns_key": file, "apns_key_id": "K", "apns_team": "T", "apns_topic": "x.y",
                "apns_url": url, "apns_connections": 2}  # fmt: skip
    account = {"project_id": "p", "client_email": "a@b", "token_uri": f"{url}/token",
               "private_key": pem(rsa.generate_private_key(65537, 2048))}  # fmt: skip
    with open(file, "w") as out:
        json.dump(account, out)
    return {"fcm_credentials": file, "fcm_url": url}


def tokens(kind: str, url: str) -> list[str]:
    if kind == "webpush":
        return [json.dumps(each) for each in subscriptions(1000, url)]
    if kind == "webhook":
        return [f"{url}/hook/{number}" for number in range(1000)]
    return ["ab" * 32] if kind == "apns" else [f"token{number}" for number in range(1000)]


async def main() -> None:
    kind, url, count, tasks = arguments()
    with tempfile.TemporaryDirectory() as folder:
        explicit = {"allow_private_endpoints": True, **given(kind, url, folder)}
        (provider,) = configured(load(explicit, environ={}, file=None))
    devices = [provider.check(token) for token in tokens(kind, url)]

    async def send(number: int) -> None:
        push = Push(
            notification="8d4f1c52a90b4f6e",
            token=devices[number % len(devices)],
            user="ada",
            title=TEXT["title"],
            body=TEXT["body"],
            data={},
            url=TEXT["url"],
            icon="",
            ttl=3600,
            urgency="normal",
            collapse_key="8d4f1c52a90b4f6e",
        )
        outcome = await provider.send(push)
        assert isinstance(outcome, Delivered), outcome

    await measure(send, count, tasks)
    await provider.close()


run(main)
