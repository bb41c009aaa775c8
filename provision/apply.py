"""The stages of `apply` and `plan`: load, check, lock, run, show.

A stage takes what the one before gave; none but the last contacts a host.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from provision import schedule
from provision.conda.current import prepared
from provision.errors import ProvisionError
from provision.execute import Job, execute
from provision.extra_vars import extra_variables
from provision.fleet_settings import settings
from provision.inventory import Inventory, load_inventory
from provision.listing import inventory_paths
from provision.options import FORMS, Shown, What, Where
from provision.plans import is_plan
from provision.playbook import Play
from provision.preflight import check, environment_files
from provision.report import Report
from provision.report.choose import reporting
from provision.report.tally import Tally
from provision.roles import load_playbook
from provision.scopes import Run
from provision.source import nearest
from provision.target import Login
from provision.translate import Translator
from provision.variant_files import uses

__all__ = ["apply", "confirmed", "load_job", "login", "plan", "plan_file", "run_job"]


def apply(
    playbook: Path,
    *,
    check: bool,
    yes: bool,
    what: What,
    where: Where,
    shown: Shown,
    allow_unknown: bool = False,
    prune: bool = False,
) -> int:
    """`provision apply`: its exit code; on a terminal the plan is shown first and asked about.

    A saved plan was looked at when it was made, and is not asked about.
    """
    if is_plan(playbook):
        return _saved(playbook, check or prune, what, where, shown, allow_unknown)
    if check:
        return plan(playbook, detailed_exitcode=False, what=what, where=where, shown=shown)
    asks = not yes
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ProvisionError(
            "`apply` changes hosts and there is no terminal to ask on",
            hint="say -y to do it without being asked, or look first with `provision plan`",
        )
    job = load_job("apply", playbook, what, where)
    if prune:
        _refuse_unjudged(job)
    if asks:
        seen = _looked(_checking(job), replace(shown, output="text"))
        if seen.exit_code or not (seen.changes or prune):
            return seen.exit_code
        if seen.changes and not confirmed(f"Apply this to {len(seen.hosts)} hosts?"):
            return 1
    return _pruned(job, where, shown, yes) if prune else run_job(job, shown).exit_code


def _refuse_unjudged(job: Job) -> None:
    from provision import prune

    if why := prune.unjudged(job):
        raise ProvisionError(
            "`--prune` is for a whole playbook",
            cause=why,
            hint="leave `--tags` and `--skip-tags` away, or leave `--prune` away",
        )


def _pruned(job: Job, where: Where, shown: Shown, yes: bool) -> int:
    """Apply, then take away what the playbook no longer names."""
    # imported here: a start without it does without
    from provision import prune

    job, looks = prune.watched(job)
    code = run_job(job, shown, lambda report: prune.Telling(report, looks)).exit_code
    for line in prune.said(looks):
        _say(line)
    return code | prune.prune(looks, where, yes=yes)


def _saved(path: Path, check: bool, what: What, where: Where, shown: Shown, allow_unknown: bool) -> int:
    if check or what != What():
        given = "`--check` and `--prune`" if check else "options that choose tasks"
        raise ProvisionError(
            f"`{path}` is a plan: {given} cannot be given with it",
            cause="the plan says what is done",
            hint="leave them away, or make another plan",
        )
    # imported here: a start without a saved plan does without
    from provision.plans.command import applied

    return applied(path, allow_unknown=allow_unknown, where=where, shown=shown)


def plan(playbook: Path, *, detailed_exitcode: bool, what: What, where: Where, shown: Shown) -> int:
    """`provision plan`: its exit code. Where `shown.output` is no form but a file, the plan is also written to it."""
    out = plan_file(shown.output)
    shown = replace(shown, output="text") if out else shown
    job = _checking(load_job("plan", playbook, what, where))
    tally = _looked(job, shown, _keeping(out, playbook, what, where) if out else execute)
    if detailed_exitcode and tally.exit_code == 0:
        return 2 if tally.changes else 0
    return tally.exit_code


def plan_file(output: str) -> Path | None:
    """The file that `-o` names, None where it is a form; raises ProvisionError for what is nearly one."""
    if output in FORMS:
        return None
    near = nearest(output, set(FORMS))
    if near and "." not in output and "/" not in output:
        raise ProvisionError(f"`-o {output}` is no form of output", hint=f"{near}; a file has a `.` or `/` in its name")
    return Path(output)


def look(playbook: Path, what: What, where: Where, *, hosts: bool, tasks: bool, tags: bool) -> int:
    """`provision plan` with `--list-…` or `--syntax-check`: says on standard output what a playbook holds.

    Its words and names are checked; no host is contacted, nothing is asked and no environment is solved.
    """
    # imported here: a start without it does without
    from provision import task_listing

    inventory = load_inventory(inventory_paths(where))
    plays = load_playbook(playbook).plays
    chosen = tuple(_hosts(inventory, play, where.limit) for play in plays)
    run = Run(
        inventory, extra=extra_variables(where.extra_vars), tags=_words(what.tags), skip_tags=_words(what.skip_tags)
    )
    check(plays, run, dict(zip(plays, chosen, strict=True)))
    lines = [f"{playbook}: {len(plays)} play{'' if len(plays) == 1 else 's'}"]
    lines += task_listing.hosts_of(plays, chosen) if hosts else ()
    lines += task_listing.tasks_of(plays, run) if tasks else ()
    lines += task_listing.tags_of(plays) if tags else ()
    print("\n".join(lines))
    return 0


def explain(playbook: Path, asked: tuple[str, str], what: What, where: Where, shown: Shown, *, check: bool) -> int:
    """`--explain HOST TASK`: says why a task would run on a host, and where its variables come from; contacts no host.

    Raises ProvisionError(s) for a form of output that it does not have, a host or a task that is not there.
    """
    # imported here: a start without it does without
    from provision.explain.command import tell

    if shown.output not in ("text", "json"):
        raise ProvisionError(f"`--explain` has no output `{shown.output}`", hint="it has `text` and `json`")
    if is_plan(playbook):
        raise ProvisionError(f"`{playbook}` is a plan", hint="`--explain` is for the playbook that it was made of")
    inventory = load_inventory(inventory_paths(where))
    plays = load_playbook(playbook).plays
    hosts = [tuple(inventory.select(play.hosts, where.limit, where=play.where, empty=True)) for play in plays]
    extra, tags, skipped = extra_variables(where.extra_vars), _words(what.tags), _words(what.skip_tags)
    run = Run(inventory, extra=extra, tags=tags, skip_tags=skipped, check=check, become=where.become, limit=where.limit)
    tell(plays, hosts, run, asked, as_document=shown.output == "json")
    return 0


def _looked(job: Job, shown: Shown, go: Callable[[Job, Report], None] = execute) -> Tally:
    """Look by `go` at what would be done, and say what the playbook no longer names."""
    # imported here: a start without it does without
    from provision import prune

    why = prune.unjudged(job)
    job, looks = (job, {}) if why else prune.watched(job)
    tally = run_job(job, shown, lambda report: prune.Telling(report, looks), go)
    for line in (why,) if why else prune.said(looks):
        _say(line)
    return tally


def _keeping(out: Path, playbook: Path, what: What, where: Where) -> Callable[[Job, Report], None]:
    """What makes a plan of a job and writes it."""
    from provision.plans.command import keep, listed

    def kept(job: Job, report: Report) -> None:
        for line in listed(keep(out, playbook, job, what, where, report), out):
            _say(line)

    return kept


def confirmed(question: str) -> bool:
    """Ask on the terminal; only a written yes is one."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def run_job(
    job: Job,
    shown: Shown,
    around: Callable[[Report], Report] | None = None,
    go: Callable[[Job, Report], None] = execute,
) -> Tally:
    """Run a job by `go` and show it as wanted, through the report `around` that which shows; gives what it came to."""
    job = replace(job, run=replace(job.run, diff=shown.diff, verbosity=shown.verbose))
    report = reporting(shown)
    go(job, around(report) if around else report)
    return report.tally


def load_job(command: str, playbook: Path, what: What, where: Where, inventory: Inventory | None = None) -> Job:
    """Everything that a run needs, read and checked without contacting a host; raises ProvisionError(s).

    `inventory` is one that is not, or not yet, what the files say.
    """
    inventory = inventory or load_inventory(inventory_paths(where))
    plays = load_playbook(playbook).plays
    hosts = tuple(_hosts(inventory, play, where.limit) for play in plays)
    _refuse_nobody(playbook, inventory, hosts, where.limit)
    run = Run(
        inventory,
        extra=extra_variables(where.extra_vars),
        tags=_words(what.tags),
        skip_tags=_words(what.skip_tags),
        become=where.become,
        forward=what.forward,
        force_handlers=what.force_handlers,
        limit=where.limit,
        forks=where.forks,
    )
    plays = tuple(_prompted(plays, run))
    schedule.check(plays, hosts, run)
    hosts_of = dict(zip(plays, hosts, strict=True))
    check(plays, run, hosts_of)
    known = settings(inventory, [host for group in hosts for host in group], run.extra)
    files, meant = environment_files(plays, run, hosts_of), uses(plays, run, hosts_of)
    locks = prepared(files, known, uses=meant, strict=what.strict, report=_say)
    if known.signed:
        # imported here: few fleets ask for it
        from provision.conda.signing import need

        need(locks, known.allowed_signers)
    run = replace(run, translator=Translator({path.resolve(): lock for path, lock in locks.items()}))
    return Job(command, tuple(plays), hosts, run, login(where), where.forks, playbook=_named(playbook))


def _named(playbook: Path) -> str:
    """How hosts remember a playbook: with its project, but not where on this machine that is."""
    return "/".join(playbook.resolve().parts[-3:])


def _prompted(plays: Sequence[Play], run: Run) -> Sequence[Play]:
    """The plays with what `vars_prompt` asks for."""
    if not any(play.prompts for play in plays):
        return plays
    # imported here: few plays ask
    from provision.prompted import answered, ask_operator

    attended = sys.stdin.isatty() and sys.stderr.isatty()
    return answered(plays, run.extra, ask_operator if attended else None)


def _refuse_nobody(playbook: Path, inventory: Inventory, hosts: Sequence[tuple[str, ...]], limit: str | None) -> None:
    if any(hosts):
        return
    inventory.select(limit or "all")
    raise ProvisionError(
        f"no play of `{playbook}` is for a host of `{limit}`",
        hint="`provision inventory --graph` shows who belongs where",
    )


def login(where: Where) -> Login:
    """What the command line says of logging in; passwords are asked for once, here."""
    return Login(
        user=where.user,
        private_key=str(where.private_key) if where.private_key else None,
        password=_typed("SSH password: ") if where.ask_pass else None,
        become=where.become,
        become_password=_typed("sudo password: ") if where.ask_become_pass else None,
        connect_timeout=where.timeout,
    )


def _typed(prompt: str) -> str:
    from provision.secret.known import secret

    return secret(getpass.getpass(prompt))


def _checking(job: Job) -> Job:
    return replace(job, command="plan", lock="shared", run=replace(job.run, check=True))


def _hosts(inventory: Inventory, play: Play, limit: str | None) -> tuple[str, ...]:
    return tuple(inventory.select(play.hosts, limit, where=play.where, empty=limit is not None))


def _words(texts: Sequence[str]) -> frozenset[str]:
    return frozenset(word.strip() for text in texts for word in text.split(",") if word.strip())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
