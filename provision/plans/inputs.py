"""The operator's files that a plan rests on, by content; must not know what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from provision.errors import ProvisionError, ProvisionErrors
from provision.source import read_files
from provision.translate import Translator

__all__ = ["gathered", "refuse_changed", "refuse_new"]


def gathered(translator: Translator) -> dict[str, str]:
    """All files that this process has read or sent, absolute, with their SHA-256."""
    found = {str(Path(path).absolute()): digest for path, digest in read_files().items()}
    for path in translator.files():
        found.setdefault(str(path.absolute()), _digest(path) or "")
    return dict(sorted(found.items()))


def refuse_changed(inputs: Mapping[str, str], playbook: str) -> None:
    """ProvisionError(s) for files that are not what they were."""
    wrong = [(path, _digest(Path(path))) for path, digest in inputs.items()]
    changed = [(path, now) for path, now in wrong if now != inputs[path]]
    _refuse(
        (
            ProvisionError(
                f"`{path}` has changed since the plan was made",
                cause="it is gone" if now is None else f"its SHA-256 was {inputs[path][:16]}…, and is {now[:16]}…",
                hint=f"make a new plan: provision plan {playbook} -o FILE",
            )
            for path, now in changed
        )
    )


def refuse_new(inputs: Mapping[str, str], now: Iterable[str], playbook: str) -> None:
    """ProvisionError(s) for files that count now and did not when the plan was made."""
    _refuse(
        ProvisionError(
            f"`{path}` is new since the plan was made",
            cause="the plan was made without it",
            hint=f"make a new plan: provision plan {playbook} -o FILE",
        )
        for path in now
        if path not in inputs
    )


def _refuse(errors: Iterable[ProvisionError]) -> None:
    found = list(errors)
    if found:
        raise found[0] if len(found) == 1 else ProvisionErrors(found)


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
