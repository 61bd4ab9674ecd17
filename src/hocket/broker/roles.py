"""What a process of an instance is to the others."""

from __future__ import annotations

from typing import Final

WORKER: Final = "worker"  # holds connections: has clients
APP: Final = "app"  # runs mounted applications
