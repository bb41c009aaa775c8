"""Text for a shell, run by /bin/sh or by the `executable` that is named."""

from __future__ import annotations

from typing import Any, List

from ..commands import Options, State, apply, decide, fields, observe
from ..record import record

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec(Options):
    """The text that the shell runs.

    - shell:
        cmd: dmesg | grep -c NVRM
        executable: /bin/bash

    It runs on every apply unless `creates` exists or `removes` does not. `timeout` is in seconds.
    """

    cmd: str = ""
    executable: str = "/bin/sh"

    def __post_init__(self) -> None:
        if not self.executable.startswith("/"):
            raise ValueError("executable is an absolute path")
        super().__post_init__()

    def words(self) -> List[str]:
        """The shell with its text; no words for an empty text."""
        return [self.executable, "-c", self.cmd] if self.cmd.strip() else []

    def text(self) -> str:
        """The text as it was written."""
        return self.cmd.strip()

    def registered(self) -> Any:
        """The text, as in Ansible."""
        return self.cmd
