"""Which route a path is for, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor

from hocket.errors import HTTPError
from hocket.transport.routes import Routes


def make_routes() -> Routes:
    routes = Routes()
    for path in ("/", "/a b", "/stra\u00dfe", "/50%", "/(x)|", "/a/b"):
        routes.add("GET", path, lambda: "")
    for path in ("/users/{name}", "/\u00fc/{n:int}", "/files/{rest:path}"):
        routes.add("GET", path, lambda: "")
    return routes


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/", {}),
        ("/a%20b", {}),
        ("/stra%C3%9Fe", {}),
        ("/stra%c3%9fe", {}),
        ("/50%25", {}),
        ("/(x)|", {}),
        ("/%28x%29%7C", {}),
        ("/%61/b", {}),
        ("/users/ada", {"name": "ada"}),
        ("/%75sers/%61da", {"name": "ada"}),
        ("/users/a%2Fb", {"name": "a/b"}),  # RFC 3986 section 2.2
        ("/users/a%252Fb", {"name": "a%2Fb"}),
        ("/users/%C3%BC%20%2B+", {"name": "\u00fc ++"}),
        ("/users/%E2%80%A8", {"name": "\u2028"}),
        ("/%C3%BC/%31%32", {"n": 12}),
        ("/files/a/b%2Fc", {"rest": "a/b/c"}),
        ("/files/", {"rest": ""}),
    ],
)
def test_what_a_path_says(path: str, params: dict[str, Any]) -> None:
    assert make_routes().find("GET", path)[1] == params


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a%2Fb", 404),
        ("/users/a/b", 404),
        ("/users/", 404),
        ("/users/%FF", 400),
        ("/users/%FE", 400),
        ("/users/a%C3", 400),
        ("/users/%ED%A0%80", 400),  # half a surrogate pair
        ("/%C3%BC/x", 404),
    ],
)
def test_what_no_path_says(path: str, status: int) -> None:
    with pytest.raises(HTTPError) as raised:
        make_routes().find("GET", path)
    assert raised.value.status == status
    assert make_routes().has("GET", path) is (status == 400)  # nobody else's, if it is bad


def test_a_convertor_of_the_apps_own_reads_decoded_text() -> None:
    class Words(Convertor[str]):
        regex = r"[\w ]+"

        def convert(self, value: str) -> str:
            return value

        def to_string(self, value: str) -> str:
            return value

    register_url_convertor("words", Words())
    try:
        routes = Routes()
        routes.add("GET", "/w/{said:words}", lambda: "")
        assert routes.find("GET", "/w/a%20%C3%A9")[1] == {"said": "a \u00e9"}
        assert not routes.has("GET", "/w/-")
    finally:
        del CONVERTOR_TYPES["words"]
