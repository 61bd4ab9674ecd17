"""The ready-made server, put together."""

from __future__ import annotations

from hocket.app import App
from hocket.errors import UsageError
from hocket.serve.api import add_api
from hocket.serve.chat import Chat
from hocket.serve.pages import add_health, add_pages
from hocket.settings import Settings
from hocket.transport.origins import is_loopback


def make_app(settings: Settings) -> App:
    """The app that `hocket serve` runs. Raises UsageError rather than to serve strangers without
    tokens.
    """
    check_exposure(settings)
    app = App()
    guests = app.has_guests = not has_keys(settings)
    Chat(app, guests, inbox=bool(settings.data) and not guests)
    add_pages(app)
    if settings.data:
        add_api(app)
    add_health(app, lambda: app.hub is not None and not app.stops)
    return app


def check_exposure(settings: Settings) -> None:
    """On this machine alone, guests may name themselves. Where others can connect, also through a
    proxy, they must show who they are.
    """
    if has_keys(settings):
        from hocket.identity.authenticator import (  # lazy: PyJWT is 70 ms of the start
            make_source,
            make_tokens,
        )

        make_tokens(settings, make_source)
    elif settings.trusted_proxies or not is_loopback(settings.host):
        where = "a proxy" if settings.trusted_proxies else settings.host
        raise UsageError(
            f"{where} can be reached from other machines, where anybody could be anybody: "
            "set HOCKET_SECRET to 32 or more random bytes (`openssl rand -hex 32`) "
            "and give users tokens (`hocket token --user ada`), or set token_jwks to the keys of "
            "your login, or listen on 127.0.0.1"
        )


def has_keys(settings: Settings) -> bool:
    """Whether users can show who they are."""
    return bool(settings.secret or settings.token_public_key or settings.token_jwks)
