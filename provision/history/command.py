"""`provision history`: runs of the past, and what they came to, without connecting to any host."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from provision.errors import ProvisionError
from provision.history.place import stored
from provision.history.store import HostRow, ResultRow, RunRow
from provision.options import SHOWN, Inventories
from provision.printable import printable
from provision.report.line import Line, printer
from provision.report.tally import host_names
from provision.report.text import SIGNS, diff_lines
from provision.source import nearest

__all__ = ["app", "ended", "grouped", "host", "runs", "show", "sums", "task"]

Output = Annotated[Literal["text", "json"], Parameter(("--output", "-o"), group=SHOWN)]
Count = Annotated[int, Parameter(("--lines", "-n"), group=SHOWN)]

app = App(
    name="history", help="Show what earlier runs did; they are kept in .provision/history.db beside the inventory."
)


@app.default
def runs(*, lines: Count = 20, output: Output = "text", where: Inventories = Inventories()) -> int:
    """List runs, the newest first.

    Parameters
    ----------
    lines
        How many.
    output
        Form of standard output.
    """
    with stored(where) as store:
        found = [(run, store.hosts(run.number)) for run in store.runs(lines)]
    if output == "json":
        return _json([_run_document(run, hosts) for run, hosts in found])
    return _print(_run_line(run, hosts) for run, hosts in found)


@app.command
def show(
    run: str = "last",
    /,
    *,
    diff: Annotated[bool, Parameter(("--diff", "-D"), group=SHOWN, negative="")] = False,
    output: Output = "text",
    where: Inventories = Inventories(),
) -> int:
    """Show one run: what was asked, on which files, what changed and what failed.

    Parameters
    ----------
    run
        The beginning of its id, or `last`.
    diff
        Show diffs of what changed.
    output
        Form of standard output.
    """
    with stored(where) as store:
        chosen = store.run(run)
        hosts, results, inputs = (
            store.hosts(chosen.number),
            store.results(chosen.number),
            store.inputs(chosen.number),
        )
    if output == "json":
        document = _run_document(chosen, hosts) | {"inputs": inputs}
        document["hosts"] = {row.name: _host_document(row) for row in hosts}
        names = {row.number: row.name for row in hosts}
        document["results"] = [{"host": names[row.host], **_result_document(row)} for row in results]
        return _json(document)
    return _print(_shown(chosen, hosts, results, inputs, diff))


@app.command
def host(name: str, /, *, lines: Count = 20, output: Output = "text", where: Inventories = Inventories()) -> int:
    """Show a host's runs, with what changed and failed on it.

    Parameters
    ----------
    name
        The host's name in the inventory.
    lines
        How many runs.
    output
        Form of standard output.
    """
    with stored(where) as store:
        rows = store.host_runs(name, lines)
        if not rows:
            raise ProvisionError(f"no run had a host `{printable(name)}`", hint="`provision history` lists runs")
        by_number = {run.number: run for run in store.runs()}
        found = [(by_number[row.run], row, store.host_results(row.number)) for row in rows]
    if output == "json":
        return _json(
            [
                {"run": run.id, **_host_document(row), "results": [_result_document(each) for each in results]}
                for run, row, results in found
            ]
        )
    return _print(line for run, row, results in found for line in _host_run(run, row, results))


@app.command
def task(name: str, /, *, lines: Count = 200, output: Output = "text", where: Inventories = Inventories()) -> int:
    """Show what a task came to in earlier runs, and how long it took.

    Parameters
    ----------
    name
        The task's name as reports show it (`role : name`).
    lines
        How many results, the newest first.
    output
        Form of standard output.
    """
    with stored(where) as store:
        found = store.task_results(name, lines)
        if not found:
            raise ProvisionError(f"no run had a task `{printable(name)}`", hint=nearest(name, set(store.titles())))
        by_number = {run.number: run for run in store.runs()}
    if output == "json":
        return _json(
            [{"run": by_number[row.run].id, "host": row.name, **_result_document(each)} for row, each in found]
        )
    groups: dict[tuple[int, str], list[tuple[HostRow, ResultRow]]] = {}
    for row, each in found:
        groups.setdefault((row.run, each.status), []).append((row, each))
    return _print(_task_line(by_number[run], status, group) for (run, status), group in groups.items())


@app.command
def prune(*, keep: int, where: Inventories = Inventories()) -> int:
    """Forget all but the newest runs.

    Parameters
    ----------
    keep
        How many stay.
    """
    with stored(where, writable=True) as store:
        gone = store.prune(keep)
    print(f"{gone} runs forgotten, {keep} kept at most")
    return 0


def _print(lines: Iterator[Line]) -> int:
    out = printer(sys.stdout)
    for line in lines:
        out.print(line)
    return 0


def _json(document: Any) -> int:
    print(json.dumps(document, indent=2))
    return 0


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def sums(hosts: Sequence[HostRow]) -> dict[str, int]:
    words = ("changed", "ok", "skipped", "failed")
    counted = {word: sum(row.counts.get(word, 0) for row in hosts) for word in words}
    return counted | {state: sum(row.state == state for row in hosts) for state in ("unreachable", "open")}


def ended(run: RunRow) -> tuple[str, str]:
    """How a run ended, in words and a style."""
    if run.exit_code is None:
        return "did not end itself", "red"
    if run.interrupted:
        return "interrupted", "red"
    return (f"exit code {run.exit_code}", "red") if run.exit_code else ("fine", "green")


def _run_line(run: RunRow, hosts: Sequence[HostRow]) -> Line:
    counted = sums(hosts)
    said = ("changed", "failed", "unreachable")
    told = ", ".join(f"{counted[word]} {word}" for word in said if counted[word])
    word, style = ended(run)
    took = f"{run.seconds:.1f} s" if run.seconds is not None else ""
    return Line(
        (f"{run.id[:23]:<24}", "bold"),
        f"{printable(' '.join(run.argv) or run.command)}  ",
        (f"{len(hosts)} host{'s' * (len(hosts) != 1)}{': ' + told if told else ''}  ", ""),
        (word, style),
        (f"  {took}{'  (simulated)' if run.simulated else ''}", "dim"),
    )


def _shown(
    run: RunRow, hosts: Sequence[HostRow], results: Sequence[ResultRow], inputs: dict[str, str], diff: bool
) -> Iterator[Line]:
    yield _run_line(run, hosts)
    yield Line((f"  began {_moment(run.began)}, by {printable(run.operator)}, provision {run.version}", "dim"))
    yield Line((f"  read {len(inputs)} files (-o json lists them with their SHA-256)", "dim"))
    for group, names in grouped(hosts, results):
        yield from _result_lines(group, host_names(names, len(hosts)), diff)
    for row in hosts:
        if row.error and row.state in ("failed", "unreachable"):
            yield Line((f"{row.name}: {row.state}", "red"), f"  {printable(str(row.error.get('summary') or ''))}")
    unfinished = [row.name for row in hosts if row.state == "open"]
    if unfinished:
        yield Line((f"never reached, or not to the end: {host_names(unfinished, 0)}", "red"))
    yield Line((f"  {', '.join(f'{word} {count}' for word, count in sums(hosts).items() if word != 'open')}", "bold"))


def grouped(hosts: Sequence[HostRow], results: Sequence[ResultRow]) -> list[tuple[ResultRow, list[str]]]:
    """What changed or failed, equal results once with their hosts."""
    names = {row.number: row.name for row in hosts}
    groups: dict[str, tuple[ResultRow, list[str]]] = {}
    for row in results:
        if row.status in ("changed", "failed"):
            key = repr((row.title, row.place, row.status, row.ignored, row.detail))
            groups.setdefault(key, (row, []))[1].append(names[row.host])
    return list(groups.values())


def _result_lines(row: ResultRow, names: str, diff: bool) -> Iterator[Line]:
    style = "yellow" if row.status == "changed" else "red"
    note = ", gone on with" if row.ignored else ""
    yield Line((f"{row.status}{note}  ", style), (printable(row.title), "bold"), (f"  {names}", "dim"))
    if row.place:
        yield Line((f"  --> {row.place}", "dim"))
    for action in row.detail.get("actions") or []:
        sign, colour = SIGNS.get(str(action["verb"]), ("!", "magenta"))
        yield Line(f"    {sign} {action['verb']} {printable(str(action['target']))}", style=colour)
        if diff:
            yield from diff_lines(action)
    error = row.detail.get("error") or {}
    for word in ("summary", "cause", "hint"):
        if error.get(word):
            yield Line(f"    {word}: {printable(str(error[word]))}")


def _host_run(run: RunRow, row: HostRow, results: Sequence[ResultRow]) -> Iterator[Line]:
    style = {"done": "green"}.get(row.state, "red")
    counts = ", ".join(f"{word} {count}" for word, count in row.counts.items() if count)
    yield Line(
        (f"{run.id[:23]:<24}", "bold"),
        (f"{row.state:<12}", style),
        f"{counts}  ",
        (printable(" ".join(run.argv)), "dim"),
    )
    for each in results:
        if each.status in ("changed", "failed"):
            yield Line(f"    {each.status:<8} {printable(each.title)}", (f"  {each.seconds:.1f} s", "dim"))


def _task_line(run: RunRow, status: str, group: Sequence[tuple[HostRow, ResultRow]]) -> Line:
    longest, slowest = max((each.seconds, row.name) for row, each in group)
    style = {"changed": "yellow", "failed": "red", "ok": "green"}.get(status, "dim")
    names = host_names([row.name for row, _ in group], 0)
    return Line(
        (f"{run.id[:23]:<24}", "bold"),
        (f"{status:<9}", style),
        f"{names}  ",
        (f"longest {longest:.2f} s on {slowest}", "dim"),
    )


def _run_document(run: RunRow, hosts: Sequence[HostRow]) -> dict[str, Any]:
    return {
        "run": run.id,
        "command": run.command,
        "argv": list(run.argv),
        "operator": run.operator,
        "version": run.version,
        "check": run.checks,
        "began": run.began,
        "seconds": run.seconds,
        "exit_code": run.exit_code,
        "interrupted": run.interrupted,
        "simulated": run.simulated,
        "counts": sums(hosts),
    }


def _host_document(row: HostRow) -> dict[str, Any]:
    return {"state": row.state, "counts": dict(row.counts), "seconds": row.seconds, "error": row.error}


def _result_document(row: ResultRow) -> dict[str, Any]:
    return {
        "task": row.title,
        "where": row.place or None,
        "status": row.status,
        "ignored": row.ignored,
        "handler": row.handler,
        "ended": row.ended,
        "seconds": row.seconds,
        **row.detail,
    }
