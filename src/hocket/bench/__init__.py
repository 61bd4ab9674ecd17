"""The load generator: `hocket bench`. Linux only, because its clients live in an epoll."""
