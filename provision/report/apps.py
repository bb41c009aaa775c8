"""What `provision app` shows: apps, folded over hosts, and their logs.

Must not know how hosts are asked. Everything from hosts is made plain before it is shown.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from provision.events import Connected, Event, HostFailed, StepEnded, StepOutput
from provision.printable import printable
from provision.report.line import console
from provision.report.tally import Tally, grouped, host_names
from provision.report.text import failure_lines, host_error_lines

__all__ = ["AppsReport", "FollowReport", "LogsReport"]

_SHOWN_HOSTS = 12
"""Hosts of one group whose processes are shown one by one."""


class _Report:
    """Counts what happens; `name` is the app that is asked about, None for all."""

    def __init__(self, name: str | None) -> None:
        self.tally = Tally()
        self.name = name
        self.found = False

    @property
    def exit_code(self) -> int:
        """As of a run; 2 also where hosts answered and none of them has the app."""
        code = self.tally.exit_code
        return code | 2 if self._nowhere() and code < 8 else code

    def _nowhere(self) -> bool:
        return self.name is not None and not self.found and not self.tally.interrupted

    def _errors(self) -> None:
        """Failed steps and unreachable hosts, on standard error."""
        shown = console(sys.stderr)
        for change, names in grouped(self.tally.failures):
            for line in failure_lines(change, names):
                shown.print(line)
        for line in host_error_lines(self.tally):
            shown.print(line)
        asked = len(self.tally.hosts) - sum(host.unreachable for host in self.tally.hosts.values())
        if self._nowhere() and asked and not self.tally.failures:
            hosts = f"{asked} host{'s' * (asked != 1)}"
            print(f"no app `{self.name}` that provision made on {hosts}; see `provision app status`", file=sys.stderr)


class AppsReport(_Report):
    """Apps by name, and what is the same on several hosts once; or everything as JSON."""

    def __init__(self, name: str | None, output: str = "text", *, stopping: bool = False) -> None:
        super().__init__(name)
        self._output, self._stopping = output, stopping
        self._apps: list[dict[str, Any]] = []
        self._simulated: dict[str, bool] = {}

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, Connected):
            self._simulated[event.host] = bool(event.facts.get("simulated"))
        if isinstance(event, StepEnded):
            apps = [each for each in event.result.fields.get("apps") or [] if isinstance(each, dict)]
            done = [str(action["verb"]) for action in event.result.actions]
            self._apps += [{"host": event.host, **each, "done": done} for each in apps]
            self.found = self.found or bool(apps) or event.result.status == "failed"

    @property
    def exit_code(self) -> int:
        """As of a run; 2 also where an app is not as it should be."""
        wrong = any(not self._right(each) for each in self._apps)
        code = super().exit_code
        return code | 2 if wrong and not self.tally.interrupted else code

    def _right(self, each: dict[str, Any]) -> bool:
        if self._stopping:
            return each.get("state") in ("stopped", "failed")
        return each.get("state") == "running" and not each.get("problem")

    def close(self) -> None:
        if self._output == "json":
            print(json.dumps(self._document(), indent=2, sort_keys=True))
        else:
            self._text()
        self._errors()

    def _document(self) -> dict[str, Any]:
        unreachable = {name: str(host.error) for name, host in self.tally.hosts.items() if host.unreachable}
        failures = [{"host": change.host, **(change.result.error or {})} for change in self.tally.failures]
        apps = sorted(self._apps, key=lambda each: (each["name"], each["host"]))
        told = [{**each, "simulated": self._simulated.get(each["host"], False)} for each in apps]
        return {"apps": told, "unreachable": unreachable, "failures": failures}

    def _text(self) -> None:
        out = console(sys.stdout)
        for name in sorted({str(each["name"]) for each in self._apps}):
            mine = [each for each in self._apps if each["name"] == name]
            out.print(printable(name), style="bold")
            groups: dict[str, list[dict[str, Any]]] = {}
            for each in mine:
                groups.setdefault(_said(each), []).append(each)
            for said, members in groups.items():
                names = host_names(sorted(each["host"] for each in members), len(self.tally.hosts))
                style = "green" if all(self._right(each) for each in members) else "red"
                out.print(f"  {printable(said)}", style=style, end="")
                out.print(f"  {names}", style="dim")
                for each in sorted(members, key=lambda each: str(each["host"]))[:_SHOWN_HOSTS]:
                    out.print(_process(each), style="dim")


def _said(each: dict[str, Any]) -> str:
    """What hosts may have in common."""
    port = f" on port {each['port']}" if each.get("port") else ""
    parts = [str(each.get("state"))]
    if each.get("state") not in ("stopped", "failed"):
        parts.append(str(each["problem"]) if each.get("problem") else f"serves{port}")
    elif port:
        parts[0] += port
    parts.append(f"restarts {each.get('restarts')}")
    if each.get("digest"):
        parts.append(f"started {'as wanted' if each['digest'] == 'as wanted' else 'from another unit'}")
    if not each.get("enabled"):
        parts.append("does not start by itself")
    verbs = {"start": "was started", "stop": "was stopped", "restart": "was restarted"}
    return ", ".join([*parts, *(verbs[verb] for verb in each.get("done", []) if verb in verbs)])


def _process(each: dict[str, Any]) -> str:
    since = each.get("since")
    if not each.get("pid") or not isinstance(since, int | float):
        return f"      {each['host']:<16} no process"
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return f"      {each['host']:<16} pid {each['pid']:<8} since {begun}"


class LogsReport(_Report):
    """The last lines of each host; hosts that logged the same are shown once."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts: dict[str, list[str]] = {}

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, StepOutput):
            self._texts.setdefault(event.host, []).append(event.text)
        if isinstance(event, StepEnded):
            self.found = self.found or bool(event.result.fields.get("known")) or event.result.status == "failed"

    def close(self) -> None:
        groups: dict[str, list[str]] = {}
        for host, pieces in self._texts.items():
            groups.setdefault("".join(pieces).rstrip("\n"), []).append(host)
        out, err = console(sys.stdout), console(sys.stderr)
        for text, hosts in groups.items():
            err.print(f"{host_names(sorted(hosts), len(self.tally.hosts))}:", style="bold")
            sys.stderr.flush()
            out.print(printable(text))
        self._errors()


class FollowReport(_Report):
    """Each line as it comes, behind the name of its host."""

    def __init__(self, name: str, hosts: Sequence[str]) -> None:
        super().__init__(name)
        self._width = max(map(len, hosts), default=0)
        self._begun: dict[str, str] = {}
        self._closed = False
        self._cancelled: set[str] = set()

    @property
    def exit_code(self) -> int:
        """As of a run; Ctrl-C is how following ends."""
        failed = any(host.failed for host in self.tally.hosts.values()) or self._nowhere()
        return 2 * failed + 4 * any(host.unreachable for host in self.tally.hosts.values())

    def add(self, event: Event) -> None:
        if self._is_the_end(event):
            return
        self.tally.add(event)
        if isinstance(event, StepOutput):
            self.found = True
            *whole, self._begun[event.host] = (self._begun.get(event.host, "") + event.text).split("\n")
            self._print(event.host, whole)
        if isinstance(event, StepEnded):
            self.found = self.found or bool(event.result.fields.get("known"))
            self._print(event.host, [rest] if (rest := self._begun.pop(event.host, "")) else [])

    def _is_the_end(self, event: Event) -> bool:
        """Whether it only says that Ctrl-C ended a host's step, which is no failure here."""
        if isinstance(event, StepEnded) and (event.result.error or {}).get("summary") == "cancelled":
            self._cancelled.add(event.host)
            return True
        return isinstance(event, HostFailed) and event.host in self._cancelled

    def _print(self, host: str, lines: Sequence[str]) -> None:
        if not lines or self._closed:
            return
        try:
            sys.stdout.write("".join(f"{host:<{self._width}} | {printable(line)}\n" for line in lines))
            sys.stdout.flush()
        except BrokenPipeError:
            self._closed = True  # whoever read it has seen enough: end as by Ctrl-C
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def close(self) -> None:
        for host, rest in self._begun.items():
            self._print(host, [rest] if rest else [])
        self._errors()
