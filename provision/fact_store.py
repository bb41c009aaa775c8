"""What hosts were when they were last seen: `.provision/facts/HOST.json` beside the inventory.

A cache for what is asked without connecting: whoever cannot write it goes on. Must not judge how old is too old.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from provision.inventory import Inventory
from provision.whole_file import write_whole

__all__ = ["directory", "forget", "known", "remember"]

_PASSING = ("env", "time")
"""Groups of facts that say nothing later, or what is not for a file."""


def directory(inventory: Inventory) -> Path:
    """Where the facts of an inventory's hosts are kept."""
    source = inventory.sources[0] if inventory.sources else Path()
    return (source if source.is_dir() else source.parent) / ".provision" / "facts"


def remember(inventory: Inventory, host: str, facts: Mapping[str, Any]) -> None:
    """Keep a host's facts, atomically and for nobody else to read; a place that cannot be written is left alone."""
    if not facts:
        return
    path = _path(inventory, host)
    kept = {name: value for name, value in facts.items() if name not in _PASSING}
    text = json.dumps({"host": host, "time": int(time.time()), "facts": kept}, sort_keys=True)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, text + "\n", mode=0o600, durable=False)
    except OSError:
        return


def known(inventory: Inventory, host: str) -> dict[str, Any] | None:
    """`{host, time, facts}` as they were kept, `time` in seconds of the epoch; None for a host that was never seen."""
    try:
        kept = json.loads(_path(inventory, host).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and isinstance(kept.get("facts"), dict) else None


def forget(inventory: Inventory, host: str) -> None:
    """Drop the facts of a host that is no more; a place that cannot be written is left alone."""
    try:
        _path(inventory, host).unlink(missing_ok=True)
    except OSError:
        return


def _path(inventory: Inventory, host: str) -> Path:
    return directory(inventory) / f"{quote(host, safe='')}.json"
