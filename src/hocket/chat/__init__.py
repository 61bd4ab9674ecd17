"""The rules of chat: who is in which room, and what was said there. No sockets."""
