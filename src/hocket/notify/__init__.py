"""Notifications: audiences, deliveries, inboxes. No sockets."""
