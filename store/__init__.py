"""Documents and parts by id: one protocol (store/base.py), SQLite and MongoDB behind it."""
