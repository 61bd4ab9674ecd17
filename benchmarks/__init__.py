"""Measurements of Hocket beside its peers; see README.md."""
