"""The only place with sockets and the event loop."""
