"""The store in one SQLite file: WAL, a full fsync for every commit, one process that writes."""
