"""Judges what an environment.yml asks for, before anything is solved: known-bad pairs, names, what will not be right.

The knowledge is data (recipes.toml, torch_sets.toml), with what to write instead. Must not look at locks or hosts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from provision.agent.record import record
from provision.conda import recipes, stack_checks
from provision.conda.capability import Kind
from provision.conda.environment import CondaSpec, Environment, PipLine
from provision.conda.mirrors import Settings
from provision.conda.stack_checks import TORCHES, Found, Subject, asked_items, listed, meant_by_packages, pinned
from provision.errors import Mark, ProvisionError, ProvisionErrors

__all__ = ["Finding", "lint", "refuse"]

LONGEST_INTERPRETER = 120
"""Bytes; a script's first line holds 127 with `#!` and a newline, the rest is for a rising generation number."""
_NESTED = ("-r", "--requirement", "-c", "--constraint")
_NAMED = (
    (re.compile(r"(?:torch|pt)[-_]?(\d)\.?(\d{1,2})(?!\d)"), TORCHES),
    (re.compile(r"(?:cu|cuda)[-_]?(\d\d)\.?(\d)(?!\d)"), ("cuda",)),
    (re.compile(r"(?:py|python)[-_]?(3)\.?(\d{1,2})(?!\d)"), ("python",)),
)


@record(frozen=True, slots=True)
class Finding:
    """One thing that a rule found: what is wrong, where, and what to write instead."""

    rule: recipes.Rule
    summary: str
    where: Mark | None
    hint: str

    def error(self) -> ProvisionError:
        """The finding in the one form of an error."""
        source = f"\n({self.rule.source})" if "://" in self.rule.source else ""
        return ProvisionError(
            self.summary,
            where=self.where,
            context=f"rule {self.rule.id}",
            cause=self.rule.reason + source,
            hint=self.hint,
        )


def lint(environment: Environment, settings: Settings | None = None, gpus: Sequence[Kind] = ()) -> list[Finding]:
    """All findings, in the order of their places. Without `settings` those of the defaults; `gpus` it is to run on."""
    of = Subject(environment, settings or Settings(), gpus)
    found = [_finding(*one) for check in _CHECKS for one in check(of)]
    return sorted(found, key=lambda finding: (finding.where.line, finding.where.column) if finding.where else (0, 0))


def _finding(name: str, summary: str, where: Mark | None, values: dict[str, str]) -> Finding:
    rule = recipes.rule(name)
    own = replace(rule, severity=values["severity"]) if "severity" in values else rule
    return Finding(own, summary, where, rule.mend.format(**values))


def refuse(findings: Iterable[Finding], *, strict: bool = False) -> None:
    """Raises ProvisionError (ProvisionErrors for several) for the errors, with `strict` for the warnings too."""
    bad = [f.error() for f in findings if f.rule.severity == "error" or (strict and f.rule.severity == "warning")]
    if bad:
        raise bad[0] if len(bad) == 1 else ProvisionErrors(bad)


def _defaults(of: Subject) -> Found:
    channels, where = of.environment.channels, of.environment.marks.get("channels")
    licensed = [
        name for name in channels if name in ("defaults", "main", "r", "anaconda") or "repo.anaconda.com" in name
    ]
    if licensed:
        yield "defaults-licence", f"{listed(licensed)} among the channels needs a licence", where, {}
    elif "nodefaults" not in channels:
        yield "nodefaults", "`nodefaults` is not among the channels", where, {"channels": ", ".join(channels)}


def _floating(of: Subject) -> Found:
    frameworks = recipes.data()["frameworks"]["names"]
    held = [p for p in asked_items(of.environment) if p.name in frameworks and p.exact]
    for line in of.environment.pip if held else ():
        if line.requirement and not line.exact:
            beside = f"{held[0].name} {held[0].exact}"
            yield "floating-pip", f"`{line.text}` is not pinned beside {beside}", line.where, {"name": line.name}


def _name_lies(of: Subject) -> Found:
    environment = of.environment
    for pattern, what in _NAMED:
        said = pattern.search(environment.name)
        version = (
            meant_by_packages(environment) if what == ("cuda",) else (pinned(environment, *what) or ("", "", None))[1]
        )
        told = f"{said[1]}.{said[2]}" if said else ""
        if said and version and not recipes.under(version, told) and not recipes.under(told, version):
            thing = {"cuda": "CUDA", "python": "Python"}.get(what[0], "torch")
            right = environment.name.replace(
                said.group(), re.sub(r"\d[\d.]*", "".join(version.split(".")[:2]), said.group())
            )
            summary = f"the name says {thing} {told}, the content {version}"
            yield "name-lies", summary, environment.marks.get("name"), {"name": right}


def _meaningless(of: Subject) -> Found:
    name = of.environment.name
    if name.lower() in recipes.data()["names"]["meaningless"]:
        yield "name-meaningless", f"`{name}` says nothing", of.environment.marks.get("name"), {}


def _prefix_length(of: Subject) -> Found:
    environment, python = of.environment, pinned(of.environment, "python")
    version = ".".join((python[1] if python else "3.11").split(".")[:2])
    interpreter = f"{of.settings.root}/envs/.generations/{environment.name}/{'0' * 12}-1/bin/python{version}"
    length = len(interpreter.encode())
    if length > LONGEST_INTERPRETER:
        summary = f"the path of its Python would have {length} bytes; {LONGEST_INTERPRETER} are allowed"
        values = {"bytes": str(length - LONGEST_INTERPRETER)}
        yield "prefix-length", summary, environment.marks.get("name"), values


def _pip_lines(of: Subject) -> Found:
    for line in of.environment.pip:
        text = line.text.partition(" #")[0].strip()
        if line.requirement is not None:
            continue
        if text.startswith(_NESTED):
            yield "pip-nested", f"`{text.split()[0]}` in the pip part names another file", line.where, {}
        elif text.startswith("-") and not text.startswith(("-e", "--editable")):
            yield "pip-option", f"`{text.split()[0]}` in the pip part is not honoured", line.where, {}
        else:
            yield "pip-wheels-only", f"`{text}` is no wheel of an index", line.where, {"name": _distribution(line.text)}


def _pip_needs(of: Subject) -> Found:
    environment = of.environment
    if environment.pip and not environment.spec("python"):
        yield "pip-without-python", "there is a pip part and no `python`", environment.pip[0].where, {}
    elif environment.pip and not environment.spec("pip"):
        yield "pip-undeclared", "there is a pip part and no `pip`", environment.pip[0].where, {}


def _twice(of: Subject) -> Found:
    environment = of.environment
    parts: tuple[tuple[CondaSpec | PipLine, ...], ...] = (environment.conda, environment.pip)
    for lines in parts:
        counted = Counter(line.name for line in lines if line.name)
        for line in lines:
            if counted.get(line.name, 0) > 1 and line is not next(other for other in lines if other.name == line.name):
                values = {"keep": "keep one of the two lines"}
                yield "twice", f"`{line.name}` is asked for twice", line.where, values
    for line in environment.pip:
        spec = environment.spec(line.name)
        if spec and line.name != "pip":
            values = {"keep": "keep the conda line: pip's part takes it from there"}
            yield "twice", f"`{line.name}` is asked of conda and of pip", line.where, values


def _python_open(of: Subject) -> Found:
    python = of.environment.spec("python")
    if python and not re.search(r"\d", python.version):
        yield "python-open", "no version of Python is asked for", python.where, {}


_CHECKS: tuple[Callable[[Subject], Found], ...] = (
    *stack_checks.CHECKS,
    _defaults,
    _floating,
    _name_lies,
    _meaningless,
    _prefix_length,
    _pip_lines,
    _pip_needs,
    _twice,
    _python_open,
)


def _distribution(text: str) -> str:
    """The name of what a line without a requirement installs, or a word that stands for it."""
    name = re.search(r"(?:#egg=|/)([A-Za-z0-9_.-]+?)(?:\.git|-\d|@|\Z)", text)
    return name[1] if name else "NAME"
