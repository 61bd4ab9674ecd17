"""Small requests to a server that is measured."""

import json
from http.client import HTTPConnection
from typing import Any

TIMEOUT = 30.0


def get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def get_json(port: int, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(port, path))
    return found


def get_metrics(port: int) -> dict[str, float]:
    """What a server says of itself at /metrics, in Prometheus' text format; metrics with labels are
    left out.
    """
    lines = get(port, "/metrics").decode().splitlines()
    words = [line.split() for line in lines if line and line[0] != "#" and "{" not in line]
    return {name: float(value) for name, value in words}
