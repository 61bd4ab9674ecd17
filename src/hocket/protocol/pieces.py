"""Bytes that come in pieces and are one in the end: bodies, messages in fragments."""

from __future__ import annotations

from typing import Final

SMALL: Final = 4_096  # bytes; smaller pieces are joined as they come


class Pieces:
    """Each of many small pieces would take 40 bytes besides its own as an object of its own. Large
    ones are copied once, in the end: 1 MB that grows by 64 KB at a time takes 1 ms.
    """

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        pieces = self._pieces
        if len(piece) >= SMALL or not pieces:
            pieces.append(piece)
        elif isinstance(last := pieces[-1], bytearray):
            last += piece
        else:
            pieces.append(bytearray(piece))

    def kept(self) -> list[bytes]:
        """What has come, in pieces of any size."""
        return [bytes(piece) for piece in self._pieces if piece]

    def take(self) -> bytes:
        """All that has come; afterwards nothing has."""
        pieces, self._pieces, self.size = self._pieces, [], 0
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
