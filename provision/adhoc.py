"""`run`, `facts` and `rollback`: one task on hosts, through the same engine as a playbook.

Must not have a way of its own to talk to hosts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provision.apply import confirmed, login, run_job
from provision.errors import Mark, ProvisionError
from provision.events import Connected, Event, HostFailed, HostUnreachable, StepEnded
from provision.execute import Job, execute
from provision.extra_vars import extra_variables
from provision.inventory import load_inventory
from provision.listing import inventory_paths
from provision.options import Shown, Where
from provision.playbook import Play, Section, Task
from provision.printable import printable
from provision.report.line import console
from provision.report.tally import Tally, host_names
from provision.scopes import Run
from provision.source import Mapping as Placed

__all__ = ["facts", "one_task_job", "rollback", "run"]

COMMAND_LINE = Mark("the command line", 1, 1)


def run(argv: Sequence[str], *, hosts: str, where: Where, shown: Shown) -> int:
    """`provision run -- ARGV`: its output, identical ones once with their hosts."""
    if not argv:
        raise ProvisionError("`run` needs a command", hint="write it after `--`: provision run -- nvidia-smi -L")
    job = one_task_job("run", hosts, where, "command", {"argv": list(argv)}, "Run " + " ".join(argv))
    if shown.output != "text":
        return run_job(job, shown).exit_code
    outputs = _Outputs()
    execute(job, outputs)
    return outputs.tally.exit_code


def facts(hosts: str, *, where: Where) -> int:
    """`provision facts`: one JSON object, host by host."""
    collected = _Facts()
    execute(one_task_job("facts", hosts, where, None, {}, "Facts"), collected)
    return collected.tally.exit_code


def rollback(environment: str, *, hosts: str, root: str | None, yes: bool, where: Where, shown: Shown) -> int:
    """`provision rollback ENV`: back to the generation before, with the units of its apps."""
    arguments: dict[str, Any] = {"name": environment}
    if root:
        arguments["root"] = root
    title = f"Environment {environment} is rolled back"
    job = one_task_job("rollback", hosts, where, "conda_rollback", arguments, title, become=True, lock="exclusive")
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ProvisionError("`rollback` changes hosts and there is no terminal to ask on", hint="say -y")
        if not confirmed(f"Roll back `{environment}` on {len(job.hosts[0])} hosts?"):
            return 1
    return run_job(job, shown).exit_code


def one_task_job(
    command: str,
    hosts: str,
    where: Where,
    word: str | None,
    arguments: Mapping[str, Any],
    title: str,
    become: bool = False,
    lock: str = "none",
) -> Job:
    """A play of one task, or of none; what the command line says is text, never a template.

    `lock`: how the host is held: "none", "shared" or "exclusive".
    """
    inventory = load_inventory(inventory_paths(where))
    tasks = (_task(word, arguments, title),) if word else ()
    play = Play(
        name=title,
        hosts=hosts,
        where=COMMAND_LINE,
        path=Path("command line"),
        sections=(Section("tasks", tasks),),
        handlers=(),
        roles=(),
        become=become or None,
    )
    chosen = tuple(inventory.select(hosts, where.limit))
    known = Run(inventory, extra=extra_variables(where.extra_vars), become=where.become)
    return Job(command, (play,), (chosen,), known, login(where), where.forks, lock)


def _task(word: str, arguments: Mapping[str, Any], title: str) -> Task:
    placed = Placed(COMMAND_LINE.file, (1, 1))
    for name, value in arguments.items():
        placed.put(name, value, (1, 1) * 2)
    return Task(key="tasks:0", name=title, module=word, arguments=placed, where=COMMAND_LINE, directory=Path())


class _Outputs:
    """Keeps what a command said on each host and prints each different answer once."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._said: dict[tuple[int, str, str], list[str]] = {}

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, StepEnded):
            fields = event.result.fields
            answer = (int(fields.get("rc", -1)), str(fields.get("stdout", "")), str(fields.get("stderr", "")))
            error = event.result.error or {}
            if not fields and error:
                answer = (-1, "", f"{error.get('summary', '')}\n{error.get('cause', '')}")
            self._said.setdefault(answer, []).append(event.host)

    def close(self) -> None:
        out, err = console(sys.stdout), console(sys.stderr)
        for (returncode, stdout, stderr), hosts in self._said.items():
            code = f", exit code {returncode}" if returncode else ""
            err.print(f"{host_names(sorted(hosts), len(self.tally.hosts))}{code}:", style="bold")
            for stream, text in ((out, stdout), (err, stderr)):
                if text.strip():
                    stream.print(printable(text.rstrip("\n")))
        simulated = [name for name, host in self.tally.hosts.items() if host.simulated]
        if simulated:
            err.print(f"{host_names(simulated, len(self.tally.hosts))}: simulated GPUs", style="dim")
        for name, host in self.tally.hosts.items():
            if host.error and (host.unreachable or not self._said):
                err.print(f"{name}: {host.error}")


class _Facts:
    """Keeps the facts of each host and prints them as JSON."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._facts: dict[str, Any] = {}

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, Connected):
            self._facts[event.host] = event.facts
        elif isinstance(event, HostUnreachable | HostFailed):
            print(f"{event.host}: {event.error}", file=sys.stderr)

    def close(self) -> None:
        print(json.dumps(dict(sorted(self._facts.items())), indent=2))
