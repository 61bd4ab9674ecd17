"""What routes and applications raise to refuse a request: Starlette's HTTPException, and so
FastAPI's.
"""

from __future__ import annotations

import sys
from typing import Final

from hocket.errors import HTTPError

_OURS: Final = frozenset({b"content-type", b"content-length"})  # of the body that says it


def refusal_of(error: BaseException) -> HTTPError | None:
    """The answer that `error` stands for; None if it is no HTTPException, or no valid one."""
    starlette = sys.modules.get("starlette.exceptions")  # whoever raises one has imported it
    if starlette is None or not isinstance(error, starlette.HTTPException):
        return None
    from hocket.transport.asgi import checked_fields  # lazy: a bare app needs no ASGI

    given = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
    try:
        fields = [field for field in checked_fields(given) if field[0] not in _OURS]
    except ValueError:
        return None
    return HTTPError(int(error.status_code), str(error.detail), *fields)
