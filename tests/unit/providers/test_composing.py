"""From a claimed delivery to a push."""

from __future__ import annotations

from typing import Any

import msgspec

from hocket.notify.model import Digest, Notification
from hocket.providers.base import Push
from hocket.providers.composing import Composer
from hocket.store.base import Claimed


def made(**fields: Any) -> Push:
    """The push of a notification with these."""
    content = msgspec.json.encode(Notification(**{"title": "Hi", **fields}))
    claimed = Claimed(1, "n", content, 1_000.0, "n", 0, "ada", "d", "t", 0.0, b"{}")
    push = Composer().compose(claimed, "pager", 100.0)
    assert isinstance(push, Push)
    return push


def test_a_digest_replaces_its_own_and_no_other() -> None:
    keys = ["likes", "x" * 57, "x" * 57 + "1", "x" * 57 + "2", "x" * 200]
    collapse = [made(digest=Digest(key=key, window=5)).collapse_key for key in keys]
    assert collapse[:2] == ["digest:likes", "digest:" + "x" * 57]
    assert len(set(collapse)) == len(keys)
    assert max(map(len, collapse)) == 64
    assert (
        collapse[2] == made(title="", body="x", digest=Digest(key=keys[2], window=5)).collapse_key
    )
    assert made(digest=Digest(key="likes", window=5), collapse_key="c").collapse_key == "n"


def test_a_digest_of_another_topic_is_another() -> None:
    likes = Digest(key="k", window=5)
    keys = [made(digest=likes, topic=topic, critical=urgent).collapse_key for topic, urgent in [
        ("", False), ("a", False), ("b", False), ("", True), ("a", True),
    ]]  # fmt: skip
    assert len(set(keys)) == 5
    assert keys[1] == made(digest=likes, topic="a", title="another").collapse_key
