"""Bytes to events and back. Pure: no event loop, no sockets, no clock, no chance."""
