"""For pages: the CSRF token that changes by cookie need."""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.identity.csrf import COOKIE, make_csrf
from hocket.serve.api.door import session_of
from hocket.serve.api.endpoint import Call, Reply, endpoint


class CsrfToken(msgspec.Struct, frozen=True):
    """To be given as the header `X-CSRF-Token`; a cookie of the same value is set."""

    token: str


@endpoint("GET", "/v1/csrf", users=True, answers={200: CsrfToken})
async def csrf(call: Call) -> Reply:
    """Get the CSRF token of your session, for changes by cookie."""
    token = make_csrf(session_of(call.app, call.who, call.headers))
    secure = "; Secure" if call.secure else ""
    cookie = f"{COOKIE}={token}; Path=/v1; SameSite=Strict{secure}"
    return Reply(200, CsrfToken(token), ((b"set-cookie", cookie.encode()),))


ENDPOINTS: Final = (csrf,)
