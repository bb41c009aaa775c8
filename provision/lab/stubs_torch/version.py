"""Which build this stand-in is of; written anew for every package that carries it."""

__version__ = "0.0.0"
cuda: str | None = None
git_version = "provision-stand-in"
