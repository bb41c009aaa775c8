"""Arguments, stages and exit codes of the command `provision`; no logic of its own.

Every command is a short list of stages that live in modules of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal

from cyclopts import App, Parameter

from provision import __version__
from provision.errors import ProvisionError
from provision.options import SHOWN, WHAT, Shown, ShownOfPlan, What, Where

__all__ = ["app", "main"]

app = App(
    name="provision",
    help="Provision GPU servers over SSH: locked conda environments, shared data and the apps that run in them.",
    version=__version__,
    help_on_error=False,
)


@app.command
def apply(
    playbook: Path,
    *,
    check: Annotated[bool, Parameter(("--check", "-C"), group=WHAT, negative="")] = False,
    yes: Annotated[bool, Parameter(("--yes", "-y"), group=WHAT, negative="")] = False,
    allow_unknown: Annotated[bool, Parameter("--allow-unknown", group=WHAT, negative="")] = False,
    prune: Annotated[bool, Parameter("--prune", group=WHAT, negative="")] = False,
    explain: Annotated[tuple[str, str] | None, Parameter("--explain", group=SHOWN)] = None,
    what: What = What(),
    where: Where = Where(),
    shown: Shown = Shown(),
) -> int:
    """Bring hosts to what a playbook says, or do a saved plan; on a terminal shows the plan and asks first.

    Exit code: 0 fine, 1 an error before any host, 2 a host failed, 4 a host was unreachable (added up: 6).

    Parameters
    ----------
    playbook
        The playbook's file, or a plan that `provision plan -o FILE` wrote: then just that is done, unasked.
    check
        Only say what would change (the same as `provision plan`).
    yes
        Do not ask; needed where there is no terminal.
    allow_unknown
        Of a saved plan, also do the steps that are known after apply only.
    prune
        Afterwards remove what provision made and the playbook no longer names, once it is shown; data stays.
    explain
        HOST TASK: only say why a task would run there or not, and where its variables come from; no host is contacted.
    """
    from provision import apply as stages

    if explain is not None:
        return stages.explain(playbook, explain, what, where, shown, check=check)
    return stages.apply(
        playbook,
        check=check,
        yes=yes,
        what=what,
        where=where,
        shown=shown,
        allow_unknown=allow_unknown,
        prune=prune,
    )


@app.command
def plan(
    playbook: Path,
    *,
    detailed_exitcode: Annotated[bool, Parameter("--detailed-exitcode", group=SHOWN, negative="")] = False,
    list_hosts: Annotated[bool, Parameter("--list-hosts", group=SHOWN, negative="")] = False,
    list_tasks: Annotated[bool, Parameter("--list-tasks", group=SHOWN, negative="")] = False,
    list_tags: Annotated[bool, Parameter("--list-tags", group=SHOWN, negative="")] = False,
    syntax_check: Annotated[bool, Parameter("--syntax-check", group=SHOWN, negative="")] = False,
    explain: Annotated[tuple[str, str] | None, Parameter("--explain", group=SHOWN)] = None,
    what: What = What(),
    where: Where = Where(),
    shown: ShownOfPlan = ShownOfPlan(),
) -> int:
    """Say what `apply` would change, with diffs of files and the packages that environments would gain and lose.

    Parameters
    ----------
    playbook
        The playbook's file.
    detailed_exitcode
        Exit with 0 when there is nothing to do and with 2 when there are changes.
    list_hosts
        Only list the hosts of each play; no host is contacted.
    list_tasks
        Only list the tasks that would be looked at; no host is contacted.
    list_tags
        Only list the tags of each play; no host is contacted.
    syntax_check
        Only check words and names; no host is contacted.
    explain
        HOST TASK: only say why a task would run there or not, and where its variables come from; no host is contacted.
    """
    from provision import apply as stages

    if explain is not None:
        return stages.explain(playbook, explain, what, where, shown, check=True)
    if list_hosts or list_tasks or list_tags or syntax_check:
        return stages.look(playbook, what, where, hosts=list_hosts, tasks=list_tasks, tags=list_tags)
    return stages.plan(playbook, detailed_exitcode=detailed_exitcode, what=what, where=where, shown=shown)


@app.command
def verify(
    playbook: Path | None = None,
    *,
    deep: Annotated[bool, Parameter("--deep", group=WHAT, negative="")] = False,
    busy: Annotated[bool, Parameter("--busy", group=WHAT, negative="")] = False,
    watch: Annotated[str | None, Parameter("--watch", group=WHAT)] = None,
    output: Annotated[Literal["text", "json", "junit"], Parameter(("--output", "-o"), group=SHOWN)] = "text",
    html: Annotated[Path | None, Parameter("--html", group=SHOWN)] = None,
    metrics: Annotated[Path | None, Parameter("--metrics", group=SHOWN)] = None,
    verbose: Annotated[bool, Parameter(("--verbose", "-v"), group=SHOWN, negative="")] = False,
    where: Where = Where(),
) -> int:
    """Say whether every host is what a playbook says and really works; changes nothing.

    Exit code: 0 all true, 1 an error before any host, 2 something is not true, 4 a host was unreachable (added up: 6).

    Parameters
    ----------
    playbook
        The playbook's file. Default: the only one in playbooks/.
    deep
        Hash every file of every environment, and import what each declares.
    busy
        Compute also on GPUs that are in use.
    watch
        Repeat at this interval (`30s`, `5m`, `1h`) until Ctrl-C, and print only what changed.
    output
        Form of standard output.
    html
        Also write one offline HTML file.
    metrics
        Also write metrics for the textfile collector of Prometheus' node_exporter.
    verbose
        Also show what was found right.
    """
    from provision.verify import command
    from provision.verify.probes import Depth

    return command.verify(
        playbook,
        where=where,
        depth=Depth(deep=deep, busy=busy),
        output=output,
        verbose=verbose,
        html=html,
        metrics=metrics,
        every=watch,
    )


@app.command
def lock(
    files: Annotated[list[Path], Parameter(negative="")] | None = None,
    /,
    *,
    check: Annotated[bool, Parameter("--check", negative="")] = False,
    upgrade: Annotated[bool, Parameter("--upgrade", negative="")] = False,
    strict: Annotated[bool, Parameter("--strict", negative="")] = False,
    sign: Annotated[Path | None, Parameter("--sign")] = None,
    where: Where = Where(),
) -> int:
    """Solve environments once and write their locks.

    Parameters
    ----------
    files
        environment.yml files, folders or playbooks. Default: every `roles/*/environment*.yml`.
    check
        Write nothing; exit with 1 when a lock is missing or stale.
    upgrade
        Take the newest versions that the files allow instead of keeping what is locked.
    strict
        Warnings are errors.
    sign
        Sign each lock with this key of ssh; its signature stands beside it.
    """
    from provision import locking

    return locking.lock(files or [], check=check, upgrade=upgrade, strict=strict, sign=sign, where=where)


@app.command
def rollback(
    environment: str,
    *,
    hosts: str = "all",
    root: str | None = None,
    yes: Annotated[bool, Parameter(("--yes", "-y"), negative="")] = False,
    where: Where = Where(),
    shown: Shown = Shown(),
) -> int:
    """Put an environment back to its previous generation, with the units of its apps, and hold it there.

    Parameters
    ----------
    environment
        The environment's name.
    hosts
        Host pattern.
    root
        Where environments live. Default: the variable `conda_root`, else /opt/conda.
    yes
        Do not ask; needed where there is no terminal.
    """
    from provision import adhoc

    return adhoc.rollback(environment, hosts=hosts, root=root, yes=yes, where=where, shown=shown)


@app.command
def run(
    argv: Annotated[list[str], Parameter(allow_leading_hyphen=True, negative="")],
    /,
    *,
    hosts: str = "all",
    where: Where = Where(),
    shown: Shown = Shown(),
) -> int:
    """Run one command on hosts: `provision run -l gpu -- nvidia-smi -L`. Identical output is shown once.

    Parameters
    ----------
    argv
        The command and its arguments, after `--`; no shell is between.
    hosts
        Host pattern.
    """
    from provision import adhoc

    return adhoc.run(argv, hosts=hosts, where=where, shown=shown)


@app.command
def offboard(
    hosts: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    forget: Annotated[bool, Parameter("--forget", negative="")] = False,
    yes: Annotated[bool, Parameter(("--yes", "-y"), negative="")] = False,
    where: Where = Where(),
    shown: Shown = Shown(),
) -> int:
    """Remove what provision made from hosts (apps, environments, its own state; data stays), then their entries.

    Exit code: 0 fine, 1 an error before any host, 2 a host failed, 4 a host was unreachable (added up: 6).

    Parameters
    ----------
    hosts
        Names of hosts in the inventory.
    forget
        Only take the hosts out of the inventory; they are not contacted.
    yes
        Do not ask; needed where there is no terminal.
    """
    from provision.onboarding import offboard as leaving

    return leaving.offboard(hosts, forget=forget, yes=yes, where=where, shown=shown)


@app.command
def facts(
    hosts: str = "all",
    *,
    where: Where = Where(),
) -> int:
    """Print what hosts are (system, GPUs, driver) as one JSON object.

    Parameters
    ----------
    hosts
        Host pattern.
    """
    from provision import adhoc

    return adhoc.facts(hosts, where=where)


@app.command
def inventory(
    *,
    list_: Annotated[bool, Parameter("--list", negative="")] = False,
    graph: Annotated[bool, Parameter("--graph", negative="")] = False,  # noqa: ARG001 - the default, for Ansible's users
    host: str | None = None,
    where: Where = Where(),
) -> int:
    """Show the inventory: everything as JSON, groups as a tree, or one host's variables.

    Parameters
    ----------
    list_
        Groups, hosts and variables as JSON.
    graph
        Groups and their hosts as a tree.
    host
        The variables of one host as JSON.
    """
    from provision import listing

    return listing.show(everything=list_, host=host, where=where)


@app.command
def completion(shell: Literal["bash", "zsh", "fish"] | None = None) -> int:
    """Print the completion script of a shell (default: the one in $SHELL).

    Parameters
    ----------
    shell
        The shell.
    """
    from provision.completing import script

    chosen = shell or Path(os.environ.get("SHELL", "bash")).name
    print(script(chosen, app.generate_completion(shell=chosen)))  # type: ignore[arg-type]
    return 0


ELSEWHERE = {
    "adopt": (
        "provision.adoption.command:adopt",
        "Read a server that people built by hand, and write the inventory entry, play and roles for it.",
    ),
    "app": ("provision.apps:app", "Show, start, stop and restart apps, and read their logs, on all hosts alike."),
    "env": ("provision.env_commands:app", "Export, import and compare environments as environment.yml."),
    "init": ("provision.starter.init:init", "Write a project that works, to begin with."),
    "lab": ("provision.lab.cli:app", "Boot, show and end a lab of real hosts on this machine."),
    "history": ("provision.history.command:app", "Show what earlier runs did, without connecting."),
    "lint": ("provision.linting:lint", "Say what is wrong with environment files, without solving them."),
    "onboard": (
        "provision.onboarding.onboard:onboard",
        "Take a fresh server into the inventory and bring it to serving.",
    ),
    "report": ("provision.history.report:report", "Write one run of the history as an offline HTML page."),
    "retry": (
        "provision.history.retry:retry",
        "Apply again to the hosts that an earlier run did not bring to its end.",
    ),
    "secret": (
        "provision.secret.command:app",
        "Encrypt, show, edit and rekey files and values, as ansible-vault does.",
    ),
    "schema": ("provision.schemas:show", "Print the JSON Schema of what you write, for editors and checks."),
    "what-if": (
        "provision.what_if_command:what_if",
        "Say which environments a driver, a GPU or a CUDA would break, from stored facts.",
    ),
}
"""Commands whose arguments are stated where they are built, imported only when they are used."""

for _name, (_place, _help) in ELSEWHERE.items():
    app.command(_place, name=_name, help=_help)
app.command("provision.completing:complete", name="complete", help="Asked by shells.", show=False)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `provision`: runs one subcommand and exits with its code."""
    sys.excepthook = _tell_traceback
    try:
        code = app(argv, exit_on_error=True, print_error=True, result_action="return_value")
    except ProvisionError as error:
        print(without_secrets(str(error)), file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    leave(code if isinstance(code, int) else 0)


def without_secrets(text: str) -> str:
    """The text as it may be shown; where no secret was made, nothing is loaded for it."""
    made = sys.modules.get("provision.secret.known")
    return str(made.clean(text)) if made else text


def _tell_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python tells what nobody caught, without secrets."""
    import traceback

    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def leave(code: int) -> None:
    """Flush and exit at once: an interrupted run may have threads that still wait for dead hosts."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
