"""The keys of saved plans: `.provision/plans/ID.key` beside the inventory, for their owner alone.

A plan's hashes of secrets are of no use without its key, so that a plan may be sent around. Must not know what is in
one.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from provision.errors import ProvisionError
from provision.whole_file import write_whole

__all__ = ["folders", "known", "make"]

_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_KEPT = 90 * 24 * 3600.0
"""Seconds after which the key of a plan goes: what it says of hosts is long past."""


def folders(inventories: Iterable[Path]) -> list[Path]:
    """Where the keys are of plans that were made for inventories."""
    beside = [source if source.is_dir() else source.parent for source in inventories]
    return [folder / ".provision" / "plans" for folder in beside]


def make(folder: Path) -> tuple[str, str]:
    """The id and the key of a new plan, kept; raises ProvisionError where that is not possible."""
    identity = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    key = secrets.token_hex(16)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _drop_old(folder)
        write_whole(folder / f"{identity}.key", key + "\n", mode=0o600)
    except OSError as error:
        raise ProvisionError(
            f"cannot keep the key of a plan in `{folder}`",
            cause=error.strerror or str(error),
            hint="a plan is applied by who can write beside the inventory",
        ) from None
    return identity, key


def known(identity: str, places: Iterable[Path]) -> str | None:
    """The key of a plan, None where it is in none of the places."""
    if not _ID.fullmatch(identity):
        return None
    for folder in places:
        try:
            key = (folder / f"{identity}.key").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if key:
            return key
    return None


def _drop_old(folder: Path) -> None:
    for path in folder.glob("*.key"):
        if time.time() - path.stat().st_mtime > _KEPT:
            path.unlink(missing_ok=True)
