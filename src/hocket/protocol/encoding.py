"""What applications send, as JSON: anything that msgspec encodes, and models of pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec


def as_builtin(value: Any) -> Any:
    """What msgspec does not know: a model's fields. Raises TypeError for anything else."""
    if isinstance(value, msgspec.Raw):  # it can be encoded, but not taken apart
        return msgspec.json.decode(value)
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return dump()


encode_json: Final[Callable[[Any], bytes]] = msgspec.json.Encoder(enc_hook=as_builtin).encode
