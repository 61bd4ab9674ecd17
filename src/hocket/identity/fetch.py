"""Where a key set comes from: an https URL, or a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from hocket.errors import UsageError
from hocket.identity.keyset import MAX_SET

TIMEOUT: Final = 5.0  # seconds that a look may take in all


def fetcher(source: str) -> Callable[[], Awaitable[bytes]]:
    """What reads `source`, an URL or a file, whenever it is called. Raises UsageError."""
    try:
        import cryptography  # noqa: F401 # lazy: an extra, for those who have a key set
    except ImportError:
        raise UsageError("key sets need the package cryptography: hocket[push]") from None
    return _Url(source) if source.startswith(("https://", "http://")) else _File(source)


class _File:
    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise UsageError(f"token_jwks: there is no file {path}")

    async def __call__(self) -> bytes:
        with self._path.open("rb") as file:
            return _bounded(file.read(MAX_SET + 1))


class _Url:
    def __init__(self, url: str) -> None:
        try:
            import aiohttp  # noqa: F401 # lazy: an extra, for those who have a key set
        except ImportError:
            raise UsageError("a key set by URL needs the package aiohttp: hocket[push]") from None
        self._url = url

    async def __call__(self) -> bytes:
        """Follows no redirect: where the keys are was decided by who set the URL."""
        import aiohttp  # lazy: as above

        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"{self._url} answered {answer.status}")
            content = b""
            async for part in answer.content.iter_chunked(65_536):
                content = _bounded(content + part)
            return content


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_SET:
        raise ValueError(f"a key set is at most {MAX_SET} bytes")
    return content
