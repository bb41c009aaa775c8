"""`provision app`: what apps do on hosts, and their logs; alike on hosts with and without systemd.

One task on hosts, through the same engine as a playbook. Must not have a way of its own to talk to hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from provision.adhoc import one_task_job
from provision.execute import execute
from provision.options import SHOWN, Where, WhereOfLogs
from provision.report.apps import AppsReport, FollowReport, LogsReport

__all__ = ["app", "logs", "restart", "start", "status", "stop"]

Output = Annotated[Literal["text", "json"], Parameter(("--output", "-o"), group=SHOWN)]

app = App(name="app", help="Look at apps, start and stop them, and read their logs, on all hosts that have them.")


@app.command
def status(name: str | None = None, /, *, where: Where = Where(), output: Output = "text") -> int:
    """Show state, process, restarts, port, digest and health of an app, or of all; what is the same is shown once.

    Exit code: 0 every app runs and is healthy, 2 one does not, 4 a host was unreachable (added up: 6).

    Parameters
    ----------
    name
        The app's name. Default: all that provision made.
    output
        Form of standard output.
    """
    return _run("app_status", {"name": name} if name else {}, name, f"Status of {name or 'apps'}", where, output)


@app.command
def start(name: str, /, *, where: Where = Where(), output: Output = "text") -> int:
    """Start an app where it is stopped, and wait until it serves.

    Parameters
    ----------
    name
        The app's name.
    output
        Form of standard output.
    """
    return _control(name, "start", where, output)


@app.command
def stop(name: str, /, *, where: Where = Where(), output: Output = "text") -> int:
    """Stop an app until the next boot, `provision app start` or `apply`; for good, say `state: stopped` in the play.

    Parameters
    ----------
    name
        The app's name.
    output
        Form of standard output.
    """
    return _control(name, "stop", where, output)


@app.command
def restart(name: str, /, *, where: Where = Where(), output: Output = "text") -> int:
    """Start an app afresh from its unit as it is, and wait until it serves.

    Parameters
    ----------
    name
        The app's name.
    output
        Form of standard output.
    """
    return _control(name, "restart", where, output)


@app.command
def logs(
    name: str,
    /,
    *,
    follow: Annotated[bool, Parameter(("--follow", "-f"), group=SHOWN, negative="")] = False,
    lines: Annotated[int, Parameter(("--lines", "-n"), group=SHOWN)] = 50,
    where: WhereOfLogs = WhereOfLogs(),
) -> int:
    """Show the last lines that an app logged; identical ones once with their hosts.

    Parameters
    ----------
    name
        The app's name.
    follow
        Show each host's lines as they come, until Ctrl-C.
    lines
        Lines of each host.
    """
    arguments = {"name": name, "lines": lines, "follow": follow}
    job = one_task_job("app", "all", where, "app_logs", arguments, f"Log of {name}", become=True, lock="none")
    report = FollowReport(name, job.hosts[0]) if follow else LogsReport(name)
    execute(job, report)
    return report.exit_code


def _control(name: str, do: str, where: Where, output: str) -> int:
    arguments = {"name": name, "do": do}
    return _run("app_control", arguments, name, f"App {name}: {do}", where, output, lock="exclusive")


def _run(
    word: str,
    arguments: Mapping[str, Any],
    name: str | None,
    title: str,
    where: Where,
    output: str,
    lock: str = "none",
) -> int:
    report = AppsReport(name, output, stopping=arguments.get("do") == "stop")
    execute(one_task_job("app", "all", where, word, arguments, title, become=True, lock=lock), report)
    return report.exit_code
