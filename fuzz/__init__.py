"""Fuzzing of every parser: any bytes, in any split, give events or a ProtocolError, and no more."""
