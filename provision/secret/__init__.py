"""Secrets: a type that says so, encrypted files and values, and what keeps secrets out of all that is shown."""
