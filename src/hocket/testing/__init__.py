"""Tools for testing what you build with Hocket, and Hocket itself."""

from hocket.testing.server import serve

__all__ = ["serve"]
