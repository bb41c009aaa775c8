"""A verdict as JUnit's XML, for CI: a suite for each host, a case for each look, named by its check and subject."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree  # only written here, never parsed

from provision.verify.ladder import NOT_REACHED, Finding, HostVerdict, Verdict, title

__all__ = ["junit"]


def junit(verdict: Verdict) -> str:
    """The text of the XML; a rung that was not reached is a skipped case, an unreachable host an error."""
    suites = ElementTree.Element("testsuites", name=f"provision verify {verdict.playbook}")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for host in verdict.hosts:
        suite = ElementTree.SubElement(suites, "testsuite", name=_legal(host.host), time=f"{host.seconds:.3f}")
        counts = _cases(suite, host)
        for key, count in counts.items():
            suite.set(key, str(count))
            totals[key] += count
    for key, count in totals.items():
        suites.set(key, str(count))
    suites.set("time", f"{verdict.seconds:.3f}")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")


def _cases(suite: Any, host: HostVerdict) -> dict[str, int]:
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for finding in host.findings:
        counts["tests"] += 1
        name = finding.check + (f" {finding.subject}" if finding.subject else "")
        case = ElementTree.SubElement(suite, "testcase", classname=_legal(host.host), name=_legal(name))
        if finding.status == "failed":
            kind, count = ("error", "errors") if host.unreachable else ("failure", "failures")
            counts[count] += 1
            told = ElementTree.SubElement(case, kind, message=_legal(finding.summary), type=_legal(finding.check))
            told.text = _legal(_body(finding))
        elif finding.status == "skipped":
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message=_legal(finding.summary))
        else:
            ElementTree.SubElement(case, "system-out").text = _legal(f"{finding.status}: {finding.summary}")
    for rung, state in host.rungs.items():
        if state == NOT_REACHED:
            counts["tests"] += 1
            counts["skipped"] += 1
            case = ElementTree.SubElement(suite, "testcase", classname=_legal(host.host), name=rung)
            ElementTree.SubElement(case, "skipped", message=f"not reached: {title(host.broken or '')} is broken")
    return counts


def _body(finding: Finding) -> str:
    details = "\n".join(f"{key}: {value}" for key, value in finding.detail.items())
    return f"{details}\nmend: {finding.mend}" if finding.mend else details


def _legal(text: str) -> str:
    """What XML 1.0 allows in a text; a host could send anything."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
