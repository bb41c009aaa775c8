"""Being let in: hosts' keys are confirmed and kept, and our key is taken there, asking the operator where it must be.

Questions are asked one after another while nothing else runs; what hosts do, they do at once. A host key is never
accepted unseen.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from provision.asking import Terminal
from provision.errors import ProvisionError
from provision.execute import prompts
from provision.onboarding.edits import edit_of, say
from provision.onboarding.known_keys import with_host
from provision.onboarding.rows import Row, each, going_on
from provision.transport import Unreachable
from provision.whole_file import write_whole

__all__ = ["hang_up", "host_keys", "keys", "wanted"]

_FINGERPRINT = re.compile(r"(?:SHA256:)?([A-Za-z0-9+/]{43})=?")


def wanted(fingerprint: str | None, hosts: int) -> str:
    """The fingerprint of the command line as ssh writes it, "" for none; raises ProvisionError."""
    if fingerprint is None:
        return ""
    if hosts != 1:
        raise ProvisionError("`--fingerprint` is for one host", cause=f"{hosts} hosts are named")
    found = _FINGERPRINT.fullmatch(fingerprint.strip())
    if not found:
        raise ProvisionError(
            f"`{fingerprint}` is no fingerprint of a host key",
            cause="it is written as `SHA256:` with 43 characters",
            hint="on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return f"SHA256:{found[1]}"


def host_keys(rows: Sequence[Row], known_hosts: Path, fingerprint: str, *, forks: int) -> None:
    """Scan all hosts, have unknown keys confirmed, and write those that are new with one write."""
    for row in each(rows, functools.partial(_scan, fingerprint=fingerprint), forks=forks):
        try:
            _confirm(row, fingerprint)
        except ProvisionError as error:
            row.error = error
    edit = edit_of(known_hosts)
    after = edit.after
    for row in going_on(rows):
        shown = row.scanned
        if shown and not shown.stands_in(str(known_hosts)) and (row.confirmed or shown.stands_in(*shown.known)):
            after = with_host(after, shown.name, shown.key.type, shown.key.text)
            row.left.append(f"its host key in {known_hosts}")
    if after != edit.before:
        write_whole(known_hosts, after)
        say(f"wrote {known_hosts}")


def keys(rows: Sequence[Row], *, forks: int) -> None:
    """Come in everywhere; where the key is not accepted, bring it there by a password that is asked for once."""
    each(rows, _enter, forks=forks)
    outside = [row for row in going_on(rows) if row.connection is None]
    for row in outside:
        if row.key is None:
            row.error = _no_key(row)
    outside = going_on(outside)
    asked = [row for row in outside if row.target.password is None]
    password = _password(asked) if asked else None
    for row in asked:
        if password is None:
            row.error = _nobody(row)
        row.target = replace(row.target, password=password)
    each(going_on(outside), _install, forks=forks)
    for row in outside:
        if row.connection is not None and row.key is not None:
            say(f"{row.name}: {row.key.private}.pub is in authorized_keys of {row.connection.user}")


def hang_up(rows: Sequence[Row]) -> None:
    """Close the connections that are open."""
    for row in rows:
        if row.connection is not None:
            with contextlib.suppress(OSError, EOFError):
                row.connection.close()
            row.connection = None


def _scan(row: Row, fingerprint: str) -> None:
    from provision.transport.ssh.scan import scan

    row.scanned = scan(row.target, prompts=prompts(), wanted=fingerprint)


def _confirm(row: Row, fingerprint: str) -> None:
    """Raise ProvisionError unless the host's key is known, or is the one that was named, or is confirmed."""
    shown = row.scanned
    assert shown is not None
    if fingerprint and shown.fingerprint != fingerprint:
        raise Unreachable(
            "host-key-unknown",
            f"{row.name} does not show the host key that --fingerprint names",
            cause=f"it shows {shown.shown}, not {fingerprint}",
            hint="is it the right address? somebody may be pretending to be this host: find out before anything else",
        )
    try:
        shown.check(row.name)
        return
    except Unreachable as error:
        if error.kind != "host-key-unknown":
            raise
    if not fingerprint:
        _ask(row, shown.shown, shown.file)
    row.confirmed = True
    say(f"{row.name}: host key {shown.shown} is confirmed")


def _ask(row: Row, shown: str, file: str) -> None:
    terminal = Terminal()
    where = f"`{row.target.address}`" + (f" port {row.target.port}" if row.target.port else "")
    if terminal.attended:
        say(f"{row.name} ({where}) shows the host key\n  {shown}\ncompare it on its console: ssh-keygen -lf {file}")
        answer = terminal.ask("Is this its key? [y/N] ", True)
        if (answer or "").strip().lower() in ("y", "yes"):
            return
    raise Unreachable(
        "host-key-unknown",
        f"the host key of {row.name} is not known",
        cause=f"{where} shows {shown}, and nobody confirmed it",
        hint=f"compare it with the host's own (on its console: ssh-keygen -lf {file}),\n"
        f"then: {row.next} --fingerprint {shown.split()[-1]}",
    )


def _enter(row: Row) -> None:
    from provision.onboarding.entering import enter

    row.connection = enter(row.target, row.key, prompts())


def _install(row: Row) -> None:
    from provision.onboarding.entering import install, prove

    assert row.key is not None
    word, user = install(row.target, row.key, prompts())
    if word == "added":
        row.left.append(f"our key in authorized_keys of {user} there")
    row.connection = prove(row.target, row.key, prompts())


def _password(rows: Sequence[Row]) -> str | None:
    terminal = Terminal()
    if not terminal.attended:
        return None
    people = [f"{row.scanned.user if row.scanned else ''}@{row.name}" for row in rows]
    return terminal.ask(f"Password of {', '.join(people)}: ", False) or None


def _no_key(row: Row) -> ProvisionError:
    return ProvisionError(
        f"there is no key to be installed on {row.name}",
        cause="none of ssh's usual ones is here, and no agent has one that the host accepts",
        hint="make one with: ssh-keygen -t ed25519\nor name one with --key",
        exit_code=2,
    )


def _nobody(row: Row) -> ProvisionError:
    user = row.scanned.user if row.scanned else "root"
    port = f"-p {row.target.port} " if row.target.port else ""
    private = row.key.private if row.key else ""
    return Unreachable(
        "authentication",
        f"{row.name} does not accept the key yet, and no password was given for `{user}`",
        cause=f"`{private}` was offered",
        hint="run on a terminal, where the password is asked for once, or install the key by hand:\n"
        f"ssh-copy-id -i {private}.pub {port}{user}@{row.target.address}",
    )
