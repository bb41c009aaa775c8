"""The command `provision onboard`: what it is told, and what of that is refused at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from provision.errors import ProvisionError
from provision.onboarding import knocking
from provision.onboarding.joining import Onboarding, Wish
from provision.options import Where
from provision.verify.command import only_playbook

__all__ = ["onboard"]


def onboard(
    hosts: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    name: str | None = None,
    group: str | None = None,
    key: Path | None = None,
    fingerprint: str | None = None,
    playbook: Path | None = None,
    bootstrap: Annotated[bool, Parameter("--bootstrap", negative="")] = False,
    yes: Annotated[bool, Parameter(("--yes", "-y"), negative="")] = False,
    where: Where = Where(),
) -> int:
    """Take fresh servers to serving: host key, our key, what fits, the inventory's entry, the playbook, a verification.

    Each step can be repeated; a host that is already in is only applied to and verified.

    Exit code: 0 fine, 1 an error before any host, 2 a host failed, 4 a host was unreachable (added up: 6).

    Parameters
    ----------
    hosts
        `[user@]host[:port]`, each.
    name
        The host's name in the inventory. Default: its short hostname, or its address.
    group
        The group it joins. Default: the one that the playbook's plays are for.
    key
        The key to install. Default: the one that the inventory or ssh would use.
    fingerprint
        The host key's fingerprint (`SHA256:...`), instead of being asked.
    playbook
        The playbook's file. Default: the only one in playbooks/.
    bootstrap
        Install Python by the host's package manager where it is missing.
    yes
        Do not ask; a host key is still only accepted with --fingerprint, or when confirmed on a terminal.
    """
    wish = Wish(
        tuple(hosts), name, group, key or where.private_key, knocking.wanted(fingerprint, len(hosts)), bootstrap, yes
    )
    _refuse(wish, where)
    chosen = playbook or only_playbook(Path("playbooks"), "provision onboard HOST --playbook PLAYBOOK")
    return Onboarding(wish, chosen, where).run()


def _refuse(wish: Wish, where: Where) -> None:
    if where.limit:
        raise ProvisionError("`onboard` takes hosts as arguments, not by --limit")
    if not wish.yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ProvisionError(
            "`onboard` changes hosts and the inventory, and there is no terminal to ask on",
            hint="say -y, and --fingerprint for a host whose key is not known yet",
        )
