"""A program with its arguments, run without a shell; of them only `$NAME` and a leading `~` mean something."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, Optional

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
    `$NAME` and `${NAME}` of the environment and a leading `~` are replaced unless `expand_argument_vars: false`.
    """

    argv: List[str] = field(default_factory=list)
    cmd: Optional[str] = None
    expand_argument_vars: bool = True

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

    def final(self, environment: Dict[str, str]) -> List[str]:
        """With variables replaced; one that is not set stays as it is written."""
        if not self.expand_argument_vars:
            return self.words()
        return [_expanded(word, environment) for word in self.words()]


def _expanded(word: str, environment: Dict[str, str]) -> str:
    home = environment.get("HOME", "")
    if home and (word == "~" or word.startswith("~/")):
        word = home + word[1:]
    if "$" not in word:
        return word
    import re

    def value(found: re.Match[str]) -> str:
        return environment.get(found[1] or found[2], found[0])

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, word)
