"""An environment.yml's text from its content: block style as conda itself writes it, and quotes where YAML needs them.

YAML 1.1 and 1.2 disagree on what `0o7` or `yes` is; what either reads as no text is quoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from provision import scalars

__all__ = ["Unsafe", "text_of"]


class Unsafe(str):
    """Text that is never rendered, whatever it holds; only playbooks and inventories may have it."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Quotes texts that a reader could take for something else."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if _is_text(value) else "'")


def _is_text(value: str) -> bool:
    """Whether no YAML reads a plain scalar as anything but text; `1e3` is a number in YAML 1.2 only."""
    try:
        float(value)
    except ValueError:
        pass
    else:
        return False
    try:
        return bool(scalars.read(value, None) == value)
    except scalars.Surprise:
        return False


def _unsafe(dumper: yaml.SafeDumper, value: Unsafe) -> yaml.ScalarNode:
    return dumper.represent_scalar("!unsafe", str(value), style='"')


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Unsafe, _unsafe)


def text_of(document: Mapping[str, Any]) -> str:
    """The text of a mapping, in its own order."""
    return yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1000
    )
