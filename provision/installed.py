"""Versions of installed packages, read off the names of their metadata folders.

importlib.metadata answers the same and costs 10 ms to import, in every run; it is asked where names do not tell.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["version"]


def version(distribution: str, module: str) -> str:
    """The version of a distribution that brings a top-level module; raises PackageNotFoundError without one."""
    spec = find_spec(module)
    stem = distribution.replace("-", "_")
    places = spec.submodule_search_locations if spec else None
    found = [path.name for place in places or () for path in Path(place).parent.glob(f"{stem}-*.dist-info")]
    if len(found) == 1:
        return found[0].removeprefix(f"{stem}-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version(distribution)
