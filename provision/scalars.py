"""Plain scalars of YAML 1.1: what they are read as, and which of them surprise.

Pure functions of text; must not know files or places.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["MAYBE", "Surprise", "read"]

_BOOL = re.compile(r"yes|no|true|false|on|off", re.IGNORECASE)
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)")
_OCTAL = re.compile(r"[-+]?0o?[0-7_]+")
_FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_VERSION_KEY = re.compile(r"(^|_)(version|python|release|revision|tag)$")
MAYBE = frozenset("-+.~0123456789yYnNtTfFoO")
"""First characters of plain scalars that YAML 1.1 may read as something else than text."""


class Surprise(Exception):
    """A scalar whose reading nobody means; says what YAML reads it as."""


def read(text: str, key: Any) -> Any:
    """A plain scalar's value, `key` being what it is the value of; raises Surprise.

    Octal digits under `mode` are kept as they were written, which is what is meant; elsewhere nobody means them.
    """
    if text in _NULL:
        return None
    if _BOOL.fullmatch(text):
        return text.lower() in ("yes", "true", "on")
    if _INT.fullmatch(text):
        return int(text.replace("_", ""), 0)
    if _OCTAL.fullmatch(text):
        if key == "mode":
            return text
        raise Surprise("an octal number")
    if _SEXAGESIMAL.fullmatch(text):
        raise Surprise("a number of base 60 (`22:22` is 1342)")
    return _float(text, key) if _FLOAT.fullmatch(text) else text


def _float(text: str, key: Any) -> float:
    value = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    if repr(value) != text and isinstance(key, str) and _VERSION_KEY.search(key):
        raise Surprise(f"the number {value!r}")
    return value
