"""A program with its arguments, run without a shell; must not interpret any of them."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional

from ..commands import Options, State, apply, decide, fields, observe
from ..record import record

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec(Options):
    """What to run, as a list (`argv`) or as text that is split like a shell does (`cmd`).

    - command:
        argv: [/usr/sbin/update-grub]
        creates: /boot/grub/grub.cfg

    It runs on every apply unless `creates` exists or `removes` does not. `timeout` is in seconds.
    """

    argv: List[str] = field(default_factory=list)
    cmd: Optional[str] = None

    def __post_init__(self) -> None:
        if bool(self.argv) == bool(self.cmd):
            raise ValueError("give the command once, as `argv` or as `cmd`")
        super().__post_init__()

    def words(self) -> List[str]:
        """The argument list; ValueError for quotes that do not end."""
        if self.argv:
            return list(self.argv)
        import shlex

        return shlex.split(self.cmd or "")
