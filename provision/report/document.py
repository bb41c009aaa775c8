"""A run for programs: one JSON object, JSON lines, or JUnit's XML, on standard output.

The object's schema is `schema.json` beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TextIO

from provision.errors import Mark, ProvisionError
from provision.events import Event, StepProgress
from provision.report.tally import Change, HostTally, Tally

__all__ = ["JsonLines", "JsonReport", "JunitReport", "document", "schema"]


def schema() -> dict[str, Any]:
    """The JSON Schema of what `-o json` prints."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text())
    return loaded


def document(tally: Tally) -> dict[str, Any]:
    """The object that `-o json` prints."""
    return {
        "command": tally.command,
        "run": tally.run,
        "check": tally.check,
        "ok": tally.ok,
        "interrupted": tally.interrupted,
        "stopped": tally.stopped.reason if tally.stopped else None,
        "not_begun": list(tally.stopped.never) if tally.stopped else [],
        "simulated": tally.simulated,
        "seconds": round(tally.seconds, 3),
        "hosts": {name: _host(host) for name, host in tally.hosts.items()},
        "changes": [_change(change) for change in tally.changes],
        "failures": [_change(change) for change in tally.failures],
        "notices": [{"host": notice.host, "kind": notice.kind, "text": notice.text} for notice in tally.notices],
        "profile": tally.profile.document(),
    }


def _host(host: HostTally) -> dict[str, Any]:
    return {
        "ok": host.ok,
        "changed": host.changed,
        "failed": host.failed,
        "skipped": host.skipped,
        "ignored": host.ignored,
        "rescued": host.rescued,
        "unreachable": host.unreachable,
        "simulated": host.simulated,
        "seconds": round(host.seconds, 3),
        "error": _plain(host.error),
        "orphans": [dict(orphan) for orphan in host.orphans],
        "orphans_unjudged": host.unjudged or None,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "host": change.host,
        "task": change.title,
        "where": str(change.where) if change.where else None,
        "status": change.result.status,
        "ignored": change.ignored,
        "rescued": change.rescued,
        "actions": change.result.actions,
        "error": change.result.error,
        "seconds": round(change.result.seconds, 3),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, ProvisionError):
        return {
            "summary": value.summary,
            "where": str(value.where) if value.where else None,
            "cause": value.cause,
            "hint": value.hint,
        }
    if isinstance(value, Mark):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


class _AtTheEnd:
    """A report that folds the run and writes once."""

    def __init__(self, stream: TextIO, write: Callable[[Tally], str]) -> None:
        self.tally = Tally()
        self._stream = stream
        self._write = write

    def add(self, event: Event) -> None:
        self.tally.add(event)

    def close(self) -> None:
        print(self._write(self.tally), file=self._stream, flush=True)


class JsonReport(_AtTheEnd):
    """One JSON object at the end of the run."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, lambda tally: json.dumps(document(tally), indent=2))


class JunitReport(_AtTheEnd):
    """JUnit's XML at the end of the run: a suite a host, a case for each failure and one for the rest."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, _junit)


class JsonLines:
    """One JSON object a line and event, `event` naming its type, while the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, event: Event) -> None:
        if not isinstance(event, StepProgress):
            print(json.dumps({"event": type(event).__name__, **_plain(event)}), file=self._stream, flush=True)

    def close(self) -> None:
        pass


def _junit(tally: Tally) -> str:
    from xml.etree import ElementTree  # only written here, never parsed

    suites = ElementTree.Element("testsuites", name=f"provision {tally.command}", time=f"{tally.seconds:.3f}")
    for name, host in tally.hosts.items():
        failures = [change for change in tally.failures if change.host == name and not change.spared]
        errors = int(host.error is not None and (host.unreachable or not failures))
        passed = host.ok + host.changed
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=name,
            tests=str(passed + host.skipped + len(failures) + errors),
            failures=str(len(failures)),
            errors=str(errors),
            skipped=str(host.skipped),
            time=f"{host.seconds:.3f}",
        )
        if host.simulated:
            ElementTree.SubElement(
                ElementTree.SubElement(suite, "properties"), "property", name="simulated", value="true"
            )
        for change in failures:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=change.title)
            error = change.result.error or {}
            failure = ElementTree.SubElement(case, "failure", message=str(error.get("summary", "failed")))
            failure.text = "\n".join(str(error.get(part, "")) for part in ("cause", "hint"))
        if errors:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name="session")
            ElementTree.SubElement(case, "error", message=host.error.summary).text = str(host.error)  # type: ignore[union-attr]
        for index in range(passed):
            ElementTree.SubElement(suite, "testcase", classname=name, name=f"step {index + 1}")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")
