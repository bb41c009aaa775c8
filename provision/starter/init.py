"""`provision init DIR`: inventory, playbook, a role with an environment, and what checks them. Never overwrites."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from provision.errors import ProvisionError
from provision.schemas import KINDS, schema
from provision.whole_file import write_whole

__all__ = ["init"]

PROJECT = Path(__file__).with_name("project")
_ELSEWHERE = {"gitignore": ".gitignore", "workflows/provision.yml": ".github/workflows/provision.yml"}
"""Files whose names would mean something where they are kept."""


def init(directory: Path, /) -> int:
    """Write a project that works: inventory, playbook, role, environment, schemas for editors, a CI workflow.

    Parameters
    ----------
    directory
        Where; it is made, and may hold other files already.
    """
    texts = dict(project())
    there = sorted(name for name in texts if (directory / name).exists() or (directory / name).is_symlink())
    if there:
        raise ProvisionError(
            f"`{directory}` has a project already",
            cause=", ".join(f"`{name}`" for name in there) + " would be written over",
            hint="name another directory, or move these away",
        )
    try:
        for name, text in texts.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(directory / name, text, mode=0o755 if text.startswith("#!") else 0o644, durable=False)
    except OSError as error:
        raise ProvisionError(f"cannot write the project to `{directory}`", cause=str(error)) from None
    for name in texts:
        print(os.path.join(directory, name))  # noqa: PTH118 - as it was said, for people
    print("next: name your hosts in inventory.yaml, then see README.md", file=sys.stderr)
    return 0


def project() -> Iterator[tuple[str, str]]:
    """The files of a new project by their path, with their text."""
    for path in sorted(each for each in PROJECT.rglob("*") if each.is_file() and each.suffix != ".pyc"):
        name = path.relative_to(PROJECT).as_posix()
        yield _ELSEWHERE.get(name, name), path.read_text(encoding="utf-8")
    for kind in KINDS:
        yield f"schemas/{kind}.json", json.dumps(schema(kind), indent=1) + "\n"
