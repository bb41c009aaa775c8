"""The options that several commands share, as plain data.

Names and letters are Ansible's where Ansible has the option.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from provision.agent.record import record

__all__ = ["FORMS", "SHOWN", "WHAT", "WHERE", "Inventories", "Shown", "ShownOfPlan", "What", "Where", "WhereOfLogs"]

WHERE = Group("Where", sort_key=1)
WHAT = Group("What", sort_key=2)
SHOWN = Group("Shown", sort_key=3)
FORMS = ("text", "json", "jsonl", "junit")
"""Forms of standard output."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class Inventories:
    """Whose hosts."""

    inventory: Annotated[list[Path], Parameter(("--inventory", "-i"), group=WHERE, negative="")] = field(
        default_factory=list
    )
    """Inventory file or directory; may be given several times. Default: inventory.yaml."""
    vault_password_file: Annotated[
        list[Path], Parameter(("--vault-password-file", "--vault-pass-file"), group=WHERE, negative="")
    ] = field(default_factory=list)
    """File with the password of encrypted files and values, or a program that prints it."""
    vault_id: Annotated[list[str], Parameter("--vault-id", group=WHERE, negative="")] = field(default_factory=list)
    """LABEL@FILE, LABEL@PROGRAM or LABEL@prompt: the password of one vault id; may be given several times."""
    ask_vault_pass: Annotated[
        bool, Parameter(("--ask-vault-pass", "--ask-vault-password", "-J"), group=WHERE, negative="")
    ] = False
    """Ask for the vault password once."""
    age_identity: Annotated[list[Path], Parameter("--age-identity", group=WHERE, negative="")] = field(
        default_factory=list
    )
    """File of a private key that opens files encrypted with age."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class Where(Inventories):
    """Which hosts, and how to log in."""

    limit: Annotated[str | None, Parameter(("--limit", "-l"), group=WHERE)] = None
    """Only these hosts: a pattern such as `a100:!a100-03`, `~gpu[0-4]`, `@hosts.txt`."""
    extra_vars: Annotated[list[str], Parameter(("--extra-vars", "-e"), group=WHERE, negative="")] = field(
        default_factory=list
    )
    """KEY=VALUE, YAML or JSON text, or @FILE; wins over every other variable."""
    forks: Annotated[int, Parameter(("--forks", "-f"), group=WHERE)] = 64
    """Hosts at a time."""
    user: Annotated[str | None, Parameter(("--user", "-u"), group=WHERE)] = None
    """Log in as this user where the inventory says nothing."""
    private_key: Annotated[Path | None, Parameter("--private-key", group=WHERE)] = None
    """Key file to log in with where the inventory says nothing."""
    ask_pass: Annotated[bool, Parameter(("--ask-pass", "-k"), group=WHERE, negative="")] = False
    """Ask for the SSH password once."""
    become: Annotated[bool, Parameter(("--become", "-b"), group=WHERE, negative="")] = False
    """Become root (or the play's become_user)."""
    ask_become_pass: Annotated[bool, Parameter(("--ask-become-pass", "-K"), group=WHERE, negative="")] = False
    """Ask for the sudo password once."""
    timeout: Annotated[float, Parameter(("--timeout", "-T"), group=WHERE)] = 10.0
    """Seconds to wait for a connection."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class WhereOfLogs(Where):
    """Which hosts; `-f` is to follow, as in all commands that show logs."""

    forks: Annotated[int, Parameter("--forks", group=WHERE)] = 64
    """Hosts at a time."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class Shown:
    """What is shown, and how."""

    output: Annotated[Literal["text", "json", "jsonl", "junit"], Parameter(("--output", "-o"), group=SHOWN)] = "text"
    """Form of standard output; people read standard error."""
    diff: Annotated[bool, Parameter(("--diff", "-D"), group=SHOWN, negative="")] = False
    """Show diffs of what changed."""
    verbose: Annotated[int, Parameter(("--verbose", "-v"), group=SHOWN, count=True)] = 0
    """Show steps that were right and the output of commands; twice: also what connections and batches took."""
    profile: Annotated[bool, Parameter("--profile", group=SHOWN, negative="")] = False
    """Name the ten slowest tasks and hosts at the end."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class ShownOfPlan(Shown):
    """What is shown, and how; `-o` may also name a file that the plan is written to."""

    output: Annotated[str, Parameter(("--output", "-o"), group=SHOWN)] = "text"  # type: ignore[assignment]
    """Form of standard output (text, json, jsonl, junit), or a file for the plan: `provision apply FILE` does it."""


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class What:
    """Which tasks of the playbook."""

    tags: Annotated[list[str], Parameter(("--tags", "-t"), group=WHAT, negative="")] = field(default_factory=list)
    """Only tasks with these tags, separated by commas."""
    skip_tags: Annotated[list[str], Parameter("--skip-tags", group=WHAT, negative="")] = field(default_factory=list)
    """Not the tasks with these tags."""
    strict: Annotated[bool, Parameter("--strict", group=WHAT, negative="")] = False
    """Warnings about environments are errors."""
    forward: Annotated[bool, Parameter("--forward", group=WHAT, negative="")] = False
    """Go forward again to an environment that was rolled back."""
    force_handlers: Annotated[bool, Parameter("--force-handlers", group=WHAT, negative="")] = False
    """Run notified handlers also on hosts that fail later."""
