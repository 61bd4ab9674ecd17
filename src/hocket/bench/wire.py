"""How bytes go to a server and come back: as they are, or through TLS. One object serves all
clients of a process, by their fds.
"""

from __future__ import annotations

import errno
import os
import socket as sockets
import ssl
from typing import Protocol

from hocket.bench.target import Target


class AnswerFirst(BlockingIOError):
    """Nothing can be sent before something has come: TLS shakes hands."""


class Wire(Protocol):
    """What `read` and `write` raise is what `os.read` and `os.write` do."""

    def socket(self, family: int) -> sockets.socket:
        """One that does not block, and is not connected yet."""

    def keep(self, socket: sockets.socket) -> int:
        """From now on it is known by its fd, which this gives, and lives until `close`."""

    def read(self, fd: int, size: int, /) -> bytes: ...
    def write(self, fd: int, data: bytes, /) -> int: ...
    def close(self, fd: int, /) -> None: ...


class Plain:
    """As they are. No object for a client, no call between it and the kernel."""

    read = staticmethod(os.read)
    write = staticmethod(os.write)
    close = staticmethod(os.close)

    def socket(self, family: int) -> sockets.socket:
        return sockets.socket(family, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK)

    def keep(self, socket: sockets.socket) -> int:
        return socket.detach()


class Tls:
    """Through TLS, each client with a handshake of its own.

    Args:
        name: of the server, as its certificate must have it.
        insecure: take any certificate.
    """

    def __init__(self, name: str, insecure: bool) -> None:
        self._name = name
        self._context = ssl.create_default_context()
        if insecure:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._of: dict[int, sockets.socket] = {}

    def socket(self, family: int) -> sockets.socket:
        plain = sockets.socket(family, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK)
        return self._context.wrap_socket(
            plain, do_handshake_on_connect=False, server_hostname=self._name
        )

    def keep(self, socket: sockets.socket) -> int:
        fd = socket.fileno()
        self._of[fd] = socket
        return fd

    def read(self, fd: int, size: int, /) -> bytes:
        """One record, and with it all that OpenSSL has read; `size` is over the 16 KiB of one."""
        try:
            return self._of[fd].recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise _told(error) from error

    def write(self, fd: int, data: bytes, /) -> int:
        socket = self._of[fd]
        # Asked here, because OpenSSL calls a connection that was refused one that has ended.
        if wrong := socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR):
            raise OSError(wrong, os.strerror(wrong))
        try:
            return socket.send(data)
        except ssl.SSLWantReadError:
            raise AnswerFirst from None
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise _told(error) from error

    def close(self, fd: int, /) -> None:
        self._of.pop(fd).close()


def _told(error: ssl.SSLError) -> OSError:
    """What went wrong, in the words of a reason."""
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message}): see --insecure"
    else:
        why = f"no TLS with it: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return OSError(errno.EPROTO, why)


def wire_to(target: Target, insecure: bool) -> Wire:
    """What the URL of the target asks for."""
    return Tls(target.name, insecure) if target.tls else Plain()
