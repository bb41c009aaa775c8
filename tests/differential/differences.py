"""The list of differences on purpose: read, matched against what a comparison found, and shown in the guide.

Owns differences.yaml and the guide's table. What is compared is the comparisons' matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recognised
import yaml

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "guide.md"
HEADING = "## Deliberate differences from Ansible\n"
_TABLE = re.compile(re.escape(HEADING) + r"\n(?:\|.*\n)+")


@dataclass(frozen=True)
class Found:
    """One difference that a comparison met: `about` is what was compared, `context` all that may explain it."""

    kind: str
    about: str
    ours: Any
    theirs: Any
    context: Any = None

    def __str__(self) -> str:
        return f"{self.kind} {self.about}:\n    ours:   {self.ours!r}\n    theirs: {self.theirs!r}"


def listed() -> list[dict[str, str]]:
    """The differences on purpose, as written."""
    content: list[dict[str, str]] = yaml.safe_load((HERE / "differences.yaml").read_text())
    return content


def unlisted(found: Iterable[Found]) -> list[Found]:
    """Those that no listed difference explains."""
    accepts = [getattr(recognised, entry["recognised"]) for entry in listed() if "recognised" in entry]
    return [one for one in found if not any(accept(one) for accept in accepts)]


def table() -> str:
    """The guide's section up to the end of its table."""
    rows = [f"| {entry['here']} | {entry['why']} |\n" for entry in listed()]
    return HEADING + "\n| here | why |\n|---|---|\n" + "".join(rows)


def shown() -> str:
    """The guide's section as it is."""
    match = _TABLE.search(GUIDE.read_text(encoding="utf-8"))
    return match[0] if match else ""


if __name__ == "__main__":
    text = GUIDE.read_text(encoding="utf-8")
    GUIDE.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
