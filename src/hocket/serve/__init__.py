"""The ready-made server: chat with a page, health checks."""
