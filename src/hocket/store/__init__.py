"""Durable data: users, devices, notifications, deliveries, inboxes, keys."""
