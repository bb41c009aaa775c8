"""The only access of resources to the operating system: run, read, write, stat; so that tests can replace it.

Must not decide anything. Writes are atomic: temporary file beside the target, mode and owner, fsync, rename, fsync of
the folder. Every wait has a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Set, Tuple

__all__ = ["Completed", "System"]

CLEAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Completed:
    """A command that ended; `returncode` is negative for a signal, and `timed_out` says that its deadline ended it."""

    argv: Tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool = False


@dataclass
class System:
    """The host as one worker sees it.

    `blob(sha256)` gives the path of a local file with that content, asked of the control node where the host lacks
    it. `environment` are the variables of the step. `pending` holds, in check mode, the paths that earlier steps of
    this run would change, so that later steps can predict what follows. `answers` holds what was asked for many
    steps at once (`questions`), forgotten after any action. `notes` is for what steps of one run tell each other
    (for example the generation that an environment was built into).
    """

    blob: Callable[[str], str]
    environment: Dict[str, str] = field(default_factory=dict)
    check: bool = False
    depth: str = "seal"
    facts: Dict[str, Any] = field(default_factory=dict)
    pending: Set[str] = field(default_factory=set)
    answers: Dict[Tuple[str, str], Any] = field(default_factory=dict)
    notes: Dict[str, Any] = field(default_factory=dict)
    state_directory: str = "/var/lib/provision"
