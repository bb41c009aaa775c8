"""Runs of the past: what was asked, on which inputs, and what every task came to on every host. One SQLite file.

Events come here redacted; nothing here may read a secret from anywhere else.
"""
