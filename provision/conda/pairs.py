"""Whether what is asked for may be of a version that is known to be bad. Pure."""

from __future__ import annotations

import re
from typing import Literal

from provision.conda import recipes
from provision.conda.environment import CondaSpec, PipLine

__all__ = ["may_be", "sign_of"]

_BOUND = re.compile(r"(<=|>=|<|>|~=)\s*([0-9][0-9A-Za-z.]*)")


def may_be(asked: CondaSpec | PipLine | None, start: str, end: str) -> Literal["yes", "no", "open"]:
    """Whether it is of a version from `start` and below `end` ("" for no bound); "open" where nothing says."""
    if asked is None:
        return "open"
    if asked.exact:
        return "yes" if recipes.within(asked.exact.partition("+")[0], start, end) else "no"
    bounds = _BOUND.findall(_text(asked))
    uppers = [(sign, version) for sign, version in bounds if sign in ("<", "<=")]
    lowers = [version for sign, version in bounds if sign in (">=", ">", "~=")]
    if start and any(_stays_below(sign, version, start) for sign, version in uppers):
        return "no"
    if end and any(not recipes.below(version, end) for version in lowers):
        return "no"
    return "yes" if start and any(not recipes.below(version, start) for version in lowers) and not end else "open"


def sign_of(asked: CondaSpec | PipLine | None, conda: bool) -> str:
    """How a version is pinned where it stands, or would stand: `=` in the conda part, `==` in pip's."""
    if asked is None:
        return "=" if conda else "=="
    return "=" if isinstance(asked, CondaSpec) else "=="


def _stays_below(sign: str, bound: str, start: str) -> bool:
    """Whether what is `< bound` or `<= bound` is never `start` or newer."""
    return not recipes.below(start, bound) if sign == "<" else recipes.below(bound, start)


def _text(asked: CondaSpec | PipLine) -> str:
    if isinstance(asked, CondaSpec):
        return asked.version
    return str(asked.requirement.specifier) if asked.requirement else ""
