"""The command `provision verify`: load, look, judge, show. Must not judge or format anything itself."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from provision.apply import load_job
from provision.errors import ProvisionError
from provision.events import Connected, Event, HostEnded, HostFailed, HostUnreachable, RunEnded
from provision.execute import Job, execute
from provision.options import What, Where
from provision.report.line import console
from provision.report.live import LiveScreen
from provision.secret.known import clean
from provision.verify import watch
from provision.verify.document import document
from provision.verify.drift import of_error
from provision.verify.gather import Gatherer
from provision.verify.junit import junit
from provision.verify.ladder import Finding, HostVerdict, Verdict, judge
from provision.verify.probes import Depth
from provision.verify.text import Line, lines

__all__ = ["Output", "apply_command", "looked", "only_playbook", "show_lines", "verify"]

Output = Literal["text", "json", "junit"]


def verify(
    playbook: Path | None,
    *,
    where: Where,
    depth: Depth,
    output: Output = "text",
    verbose: bool = False,
    html: Path | None = None,
    metrics: Path | None = None,
    every: str | None = None,
) -> int:
    """`provision verify`: its exit code; with `every` it goes on until Ctrl-C."""
    seconds = watch.interval(every) if every else None
    if seconds and output == "junit":
        raise ProvisionError("`--watch` and `-o junit` do not go together", hint="-o json prints an object each time")
    chosen = playbook or only_playbook(Path("playbooks"))
    job = load_job("verify", chosen, What(), where)
    job = replace(job, lock="shared", run=replace(job.run, check=True))
    apply = apply_command(chosen, where)

    def look() -> Verdict:
        seen = looked(job, str(chosen), apply, depth, live=output == "text" and sys.stderr.isatty())
        return clean(seen)  # type: ignore[no-any-return]

    def told(verdict: Verdict, before: Verdict | None) -> None:
        _write(verdict, html, metrics)
        _show(verdict, before, output, verbose=verbose, watched=seconds is not None)

    if seconds:
        return watch.repeated(look, told, seconds)
    verdict = look()
    told(verdict, None)
    return verdict.exit_code


def only_playbook(folder: Path, naming: str = "provision verify PLAYBOOK") -> Path:
    """The one playbook of a project; raises ProvisionError where there is none, or a choice, that says `naming`."""
    found = sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ProvisionError(f"there is no playbook in `{folder}`", hint=f"name it: {naming}")
    raise ProvisionError(
        f"`{folder}` has {len(found)} playbooks",
        cause=", ".join(f"`{path}`" for path in found),
        hint=f"name the one that is meant: {naming}",
    )


def looked(job: Job, playbook: str, apply: str, depth: Depth, *, live: bool = False) -> Verdict:
    """Look at all hosts of a job once."""
    begun = time.time()
    everyone = dict.fromkeys(host for hosts in job.hosts for host in hosts)
    gatherers = {host: Gatherer(host, playbook, f"{apply} -l {host}", depth) for host in everyone}
    run = replace(job.run, facts_of={})
    collected = Collected(LiveScreen() if live else None)
    execute(replace(job, run=run, compilers=gatherers), collected)
    return Verdict(
        playbook=playbook,
        hosts=tuple(
            collected.verdict(host, gatherer.findings(), gatherer.spent) for host, gatherer in gatherers.items()
        ),
        deep=depth.deep,
        interrupted=collected.interrupted,
        seconds=collected.seconds,
        time=begun,
    )


class Collected:
    """What a run tells of the hosts themselves; what their steps say goes to the gatherers."""

    def __init__(self, screen: LiveScreen | None = None) -> None:
        self.interrupted = False
        self.seconds = 0.0
        self._screen = screen
        self._connected: dict[str, Connected] = {}
        self._errors: dict[str, HostFailed | HostUnreachable] = {}
        self._spent: dict[str, float] = {}

    def add(self, event: Event) -> None:
        if self._screen:
            self._screen.add(event)
        match event:
            case Connected():
                self._connected[event.host] = event
            case HostFailed() | HostUnreachable():
                self._errors[event.host] = event
            case HostEnded():
                self._spent[event.host] = event.seconds
            case RunEnded():
                self.seconds, self.interrupted = event.seconds, event.interrupted

    def close(self) -> None:
        if self._screen:
            self._screen.close()

    def verdict(self, host: str, findings: list[Finding], spent: Mapping[str, float] | None = None) -> HostVerdict:
        """The host's verdict from its findings and from how it was reached."""
        connected, error = self._connected.get(host), self._errors.get(host)
        facts = connected.facts if connected else {}
        return judge(
            host,
            [*self._reached(host), *findings],
            unreachable=isinstance(error, HostUnreachable),
            seconds=self._spent.get(host, 0.0),
            facts=facts,
            spent={"reachable": connected.seconds if connected else 0.0, **(spent or {})},
            simulated=bool(facts.get("simulated")),
        )

    def _reached(self, host: str) -> list[Finding]:
        error, connected = self._errors.get(host), self._connected.get(host)
        if isinstance(error, HostUnreachable):
            return [of_error(error.error, "reachable", "reachable.connection")]
        if error and connected and error.error.where:  # what the operator wrote ended the host
            return [_answered(connected), of_error(error.error, "configuration", "configuration.play")]
        if error:
            return [of_error(error.error, "reachable", "reachable.session")]
        if connected:
            return [_answered(connected)]
        return []


def _answered(event: Connected) -> Finding:
    return Finding("reachable", "reachable.agent", "ok", f"answered in {event.seconds:.1f} s")


def apply_command(playbook: Path, where: Where) -> str:
    """The command that mends drift, as the operator would type it; a host is still to be named."""
    words = ["provision", "apply", str(playbook)]
    for path in where.inventory:
        words += ["-i", str(path)]
    for text in where.extra_vars:
        words += ["-e", text if text.startswith("@") else "…"]
    return " ".join(word if word == "…" else shlex.quote(word) for word in words)


def _write(verdict: Verdict, html: Path | None, metrics: Path | None) -> None:
    if html:
        from provision.verify.html import write as write_page

        write_page(verdict, html)
    if metrics:
        from provision.verify.metrics import write as write_metrics

        write_metrics(verdict, metrics)


def _show(verdict: Verdict, before: Verdict | None, output: Output, *, verbose: bool, watched: bool) -> None:
    """On standard output; of a repeated verification only what changed, as JSON one object a line."""
    changed = watch.changes(before, verdict) if before else None
    if changed == []:
        return
    if output == "text":
        show_lines(changed or list(lines(verdict, verbose=verbose)))
    elif output == "junit":
        print(junit(verdict), flush=True)
    else:
        print(json.dumps(document(verdict), indent=None if watched else 2), flush=True)


def show_lines(shown: list[Line]) -> None:
    """Print a verdict's lines on standard output."""
    out = console(sys.stdout)
    for line in shown:
        out.print(line.text, style=line.style or None, end=line.end)
    sys.stdout.flush()
