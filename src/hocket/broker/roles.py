"""What a process of an instance is to the others."""

from __future__ import annotations

from typing import Final

WORKER: Final = "worker"  # holds connections: has clients
APP: Final = "app"  # runs mounted applications
STORE: Final = "store"  # keeps what is durable; a program of ours, and none of the others' peers
DELIVERY: Final = "delivery"  # pushes to devices
