"""The stages of `provision onboard`, each over all hosts, each repeatable.

Host key, our key, Python, a look, the inventory's entry, the playbook, a verification. The inventory is written only
for hosts that everything before went well on. Must not have a way of its own to talk to the agent.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision import fact_store
from provision.apply import confirmed, load_job, login, run_job
from provision.errors import ProvisionError
from provision.execute import Job, host_target
from provision.inventory import Inventory, load_inventory
from provision.listing import inventory_paths
from provision.onboarding import keys, knocking
from provision.onboarding.drivers import brings_driver
from provision.onboarding.edits import Edit, say
from provision.onboarding.fits import NEWEST_DRIVER, Fit, lines, refusal
from provision.onboarding.looking import looked
from provision.onboarding.newcomers import Newcomer, default_group, known_hosts_file, newcomers, with_hosts
from provision.onboarding.rows import Row, each, ended, going_on
from provision.options import Shown, What, Where
from provision.roles import load_playbook
from provision.target import Login
from provision.transport.ssh_config import at_home
from provision.variant_files import uses
from provision.verify import command as verifying
from provision.verify.probes import Depth
from provision.verify.text import lines as verdict_lines
from provision.what_if import Change, judge
from provision.what_if_command import Targets

__all__ = ["Onboarding", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says."""

    hosts: tuple[str, ...]
    name: str | None
    group: str | None
    key: Path | None
    fingerprint: str
    bootstrap: bool
    yes: bool


class Onboarding:
    """One run of the command."""

    def __init__(self, wish: Wish, playbook: Path, where: Where) -> None:
        self.wish = wish
        self.playbook = playbook
        self.where = where
        self.inventory = load_inventory(inventory_paths(where))
        self.joining = newcomers(
            wish.hosts, self.inventory, name=wish.name, group=wish.group, default=self._default_group
        )
        _, self.after = self._with(self.joining)  # what cannot be written is said before a host is touched
        self.job = self._load("onboard", [one.name for one in self.joining], self.after, Login())
        self.login = login(where)
        if wish.key:
            self.login = replace(self.login, private_key=at_home(str(wish.key)).removesuffix(".pub"))
        self.job = replace(self.job, login=self.login)
        self.rows = [self._row(one, written) for one, written in zip(self.joining, self._written(), strict=True)]

    def run(self) -> int:
        """All stages; the exit code. An interruption says what it leaves, and goes on."""
        try:
            return self._stages()
        except ProvisionError as error:
            for row in going_on(self.rows):
                row.error = error
            return self._end()
        except KeyboardInterrupt:
            self._tell()
            raise

    def _stages(self) -> int:
        forks = self.where.forks
        known = known_hosts_file(self.inventory)
        knocking.host_keys(self.rows, known, self.wish.fingerprint, forks=forks)
        knocking.keys(going_on(self.rows), forks=forks)
        try:
            each(going_on(self.rows), self._python, forks=forks)
        finally:
            knocking.hang_up(self.rows)
        self._look(going_on(self.rows))
        if not (rows := going_on(self.rows)):
            return self._end()
        if not self._write(rows):
            self._tell()
            return 1
        return self._serve(rows)

    # --- what is to be done

    def _default_group(self) -> str:
        return default_group((play.hosts for play in load_playbook(self.playbook).plays), self.inventory)

    def _with(self, joining: Sequence[Newcomer]) -> tuple[list[Edit], Inventory]:
        named = str(self.wish.key).removesuffix(".pub") if self.wish.key else None
        return with_hosts(self.inventory, joining, user=self.where.user, key=named)

    def _load(self, command: str, names: Sequence[str], inventory: Inventory | None, known: Login) -> Job:
        """The playbook for these hosts; passwords are asked for once, not again here."""
        where = replace(self.where, limit=":".join(names), ask_pass=False, ask_become_pass=False)
        return replace(load_job(command, self.playbook, What(), where, inventory), login=known)

    def _written(self) -> list[str]:
        return list(dict.fromkeys(self.wish.hosts))

    def _row(self, one: Newcomer, written: str) -> Row:
        if not any(one.name in hosts for hosts in self.job.hosts):
            groups = ", ".join(f"`{group}`" for group in self.after.hosts[one.name].groups)
            raise ProvisionError(
                f"no play of `{self.playbook}` is for `{one.name}`",
                cause=f"it is in {groups}",
                hint="say --group or --playbook",
            )
        found = host_target(self.job, one.name)
        if found.connection != "ssh":
            raise ProvisionError(f"`{one.name}` is not reached over SSH", cause=f"it has `{found.connection}`")
        files = (str(known_hosts_file(self.inventory)), *found.known_hosts)
        found = replace(found, known_hosts=tuple(dict.fromkeys(files)))
        from provision.transport.ssh.scan import identities

        key = keys.choose(self.wish.key, identities(found))
        if key:
            found = replace(found, private_key_file=str(key.private))
        return Row(one, written, found, self._again(written), key=key)

    def _again(self, written: str) -> str:
        """The command line for one host."""
        words = ["provision", "onboard", written]
        for option, value in (("--name", self.wish.name), ("--group", self.wish.group), ("--key", self.wish.key)):
            words += [option, str(value)] if value else []
        words += [word for path in self.where.inventory for word in ("-i", str(path))]
        words += ["--playbook", str(self.playbook)]
        words += ["-u", self.where.user] if self.where.user else []
        words += ["-K"] if self.where.ask_become_pass else []
        said = shlex.join(words)
        for text in self.where.extra_vars:  # what may be a secret is not repeated
            said += f" -e {shlex.quote(text) if text.startswith('@') else '…'}"
        return said

    # --- stages

    def _python(self, row: Row) -> None:
        from provision.onboarding.entering import with_python

        assert row.connection is not None
        done = with_python(row.connection, row.target, bootstrap=self.wish.bootstrap, again=row.next)
        if done:
            say(f"{row.name}: ran {done}")
            row.left.append("python3 on the host")

    def _look(self, rows: Sequence[Row]) -> None:
        """Facts, looks and what fits; what cannot be is an error of its row."""
        if not rows:
            return
        names = [row.name for row in rows]
        job = self._narrowed(names)
        found = looked(job)
        hosts = dict(zip(job.plays, job.hosts, strict=True))
        targets = Targets(self.after, uses(job.plays, job.run, hosts), hosts)
        facts = {name: one.facts for name, one in found.items() if not one.error}
        hosts = {play: tuple(name for name in group if name in facts) for play, group in hosts.items()}
        now, newest = (
            judge(job.plays, replace(job.run, facts_of={}), hosts, change, facts.get, targets.of)
            for change in (Change(), Change(driver=NEWEST_DRIVER))
        )
        for row in rows:
            one = found[row.name]
            own, best = ([verdict for verdict in all_ if verdict.host == row.name] for all_ in (now, newest))
            fit = Fit(own, best, brings_driver(job, row.name, one.facts), _root(row))
            if one.error is None:
                say("\n".join(f"{row.name}: {line}" for line in lines(one, fit)))
            row.error = one.error or refusal(row.name, one, fit)

    def _narrowed(self, names: Sequence[str]) -> Job:
        hosts = tuple(tuple(name for name in group if name in names) for group in self.job.hosts)
        return replace(self.job, hosts=hosts)

    def _write(self, rows: Sequence[Row]) -> bool:
        """Show the difference, ask, write; False for a no."""
        edits, _ = self._with([row.newcomer for row in rows])
        say("".join(edit.diff() for edit in edits))
        names = ", ".join(row.name for row in rows)
        what = f"Write this, and apply {self.playbook} to {names}?" if edits else f"Apply {self.playbook} to {names}?"
        if not self.wish.yes and not confirmed(what):
            return False
        for edit in edits:
            edit.write()
        for row in rows:
            row.entered = True
            row.left += ["its entry in the inventory"] if edits and not row.newcomer.there else []
        return True

    def _serve(self, rows: Sequence[Row]) -> int:
        """Apply and verify, the latter where the former went well."""
        names = [row.name for row in rows]
        mend = verifying.apply_command(self.playbook, self.where)
        tally = run_job(self._load("apply", names, None, self.login), Shown())
        for row in rows:
            host = tally.hosts[row.name]
            row.next = f"{mend} -l {row.name}"
            row.left += [f"{host.changed} changed steps of the playbook"] if host.changed else []
            if host.error or host.failed or host.unreachable or tally.interrupted:
                row.error = _unserved(row.name, self.playbook, tally.interrupted, 4 if host.unreachable else 2)
        serving = [row.name for row in going_on(rows)]
        code = tally.exit_code
        if serving and not tally.interrupted:
            job = self._load("verify", serving, None, self.login)
            job = replace(job, lock="shared", run=replace(job.run, check=True))
            verdict = verifying.looked(job, str(self.playbook), mend, Depth())
            verifying.show_lines(list(verdict_lines(verdict)))
            code |= verdict.exit_code
            untrue = {host.host for host in verdict.hosts if host.broken or host.unreachable}
            for row in rows:
                if row.name in untrue:
                    row.error = _untrue(row.name, self.playbook)
        return self._end() | code

    # --- the end

    def _end(self) -> int:
        self._tell()
        code = 0
        for row in self.rows:
            code |= row.code
        return code

    def _tell(self) -> None:
        known = load_inventory(inventory_paths(self.where)).hosts
        for row in self.rows:
            if row.name not in known:
                fact_store.forget(self.inventory, row.name)
        say("\n\n".join(ended(row for row in self.rows if row.error or not row.entered)))


def _untrue(name: str, playbook: Path) -> ProvisionError:
    return ProvisionError(
        f"{name} is in the inventory, and `{playbook}` is applied, but not all is true there",
        cause="what is not is said above, each with its mend",
        exit_code=2,
    )


def _root(row: Row) -> str:
    user = row.scanned.user if row.scanned else ""
    if row.target.become:
        return f"`{user}` becomes root by sudo"
    return "logs in as root" if user == "root" else ""


def _unserved(name: str, playbook: Path, interrupted: bool, code: int) -> ProvisionError:
    why = "the run was interrupted" if interrupted else "what failed is said above"
    return ProvisionError(
        f"{name} is in the inventory, and does not serve yet by `{playbook}`", cause=why, exit_code=code
    )
