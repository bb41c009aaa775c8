"""Judges what an environment.yml asks for, before anything is solved: known-bad pairs, names, what will not be right.

The knowledge is data (recipes.toml); each finding says what to write instead. Must not look at locks or hosts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from provision.conda import recipes
from provision.conda.environment import CondaSpec, Environment, PipLine
from provision.conda.floor import meant_cuda
from provision.conda.mirrors import Settings, canonical_channels
from provision.errors import Mark, ProvisionError, ProvisionErrors

__all__ = ["Finding", "lint", "refuse"]

LONGEST_INTERPRETER = 120
"""Bytes; a script's first line holds 127 with `#!` and a newline, the rest is for a rising generation number."""
_SECOND_CUDA = re.compile(r"(torch|triton|pytorch-triton|nvidia-.+)\Z")
_TORCHES = ("pytorch", "torch", "pytorch-gpu")
_COMPANIONS = ("torchvision", "torchaudio")
_NAMED = (
    (re.compile(r"(?:torch|pt)[-_]?(\d)\.?(\d{1,2})(?!\d)"), _TORCHES),
    (re.compile(r"(?:cu|cuda)[-_]?(\d\d)\.?(\d)(?!\d)"), ("cuda",)),
    (re.compile(r"(?:py|python)[-_]?(3)\.?(\d{1,2})(?!\d)"), ("python",)),
)
Pin = tuple[str, str, Mark]
"""Name as written, version, place."""


@dataclass(frozen=True, slots=True)
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


Found = Iterator[tuple[str, str, Mark | None, str]]
"""Rule, summary, place, hint."""


def lint(environment: Environment, settings: Settings | None = None) -> list[Finding]:
    """All findings, in the order of their places. Without `settings` those of the defaults."""
    known = settings or Settings()
    found = [
        Finding(recipes.rule(rule), summary, where, hint)
        for check in _CHECKS
        for rule, summary, where, hint in check(environment, known)
    ]
    return sorted(found, key=lambda finding: (finding.where.line, finding.where.column) if finding.where else (0, 0))


def refuse(findings: Iterable[Finding], *, strict: bool = False) -> None:
    """Raises ProvisionError (ProvisionErrors for several) for the errors, with `strict` for the warnings too."""
    bad = [f.error() for f in findings if f.rule.severity == "error" or (strict and f.rule.severity == "warning")]
    if bad:
        raise bad[0] if len(bad) == 1 else ProvisionErrors(bad)


def _torch_set(environment: Environment, _: Settings) -> Found:
    torch = _pin(environment, *_TORCHES)
    row = recipes.torch_set(torch[1]) if torch else None
    if not torch or not row:
        return
    for companion in _COMPANIONS:
        pin = _pin(environment, companion)
        wanted = row[companion]
        if pin and not any(recipes.under(version, pin[1]) or recipes.under(pin[1], version) for version in wanted):
            sign = "==" if environment.line(companion) else "="
            hint = f"write `{companion}{sign}{wanted[0]}`; the set is {_set_of(row)}"
            yield "torch-set", f"{companion} {pin[1]} does not belong to torch {torch[1]}", pin[2], hint


def _torch_python(environment: Environment, _: Settings) -> Found:
    torch, python = _pin(environment, *_TORCHES), _pin(environment, "python")
    row = recipes.torch_set(torch[1]) if torch else None
    if not torch or not python or not row or python[1] == "3":
        return
    if not any(recipes.under(python[1], version) for version in row["python"]):
        hint = f"write `python={row['python'][-1]}`, the newest that torch {row['torch']} has builds for"
        yield "torch-python", f"torch {torch[1]} has no builds for Python {python[1]}", python[2], hint


def _torch_cuda(environment: Environment, _: Settings) -> Found:
    torch, cuda = _pin(environment, *_TORCHES), environment.spec("pytorch-cuda")
    row = recipes.torch_set(torch[1]) if torch else None
    if torch and row and cuda and cuda.exact and not any(recipes.under(cuda.exact, known) for known in row["cuda"]):
        hint = (
            f"write `pytorch-cuda={row['cuda'][-1]}`; torch {row['torch']} has builds for CUDA {', '.join(row['cuda'])}"
        )
        yield "torch-cuda", f"torch {torch[1]} has no builds for CUDA {cuda.exact}", cuda.where, hint


def _torch_channel(environment: Environment, _: Settings) -> Found:
    cuda, urls = environment.spec("pytorch-cuda"), canonical_channels(environment.channels)
    missing = [name for name in ("pytorch", "nvidia") if not any(url.endswith(f"/{name}") for url in urls)]
    if cuda and missing:
        hint = "write `channels: [pytorch, nvidia, conda-forge, nodefaults]`"
        yield (
            "torch-channel",
            f"`pytorch-cuda` without {_and(missing)} among the channels",
            environment.marks.get("channels"),
            hint,
        )
    torch, last = environment.spec("pytorch"), recipes.data()["pytorch_channel"]["last"]
    if torch and cuda and torch.exact and recipes.below(last, torch.exact) and not recipes.under(torch.exact, last):
        hint = f"take torch from conda-forge (`pytorch-gpu={torch.exact}` with `cuda-version`), or at most {last}"
        yield "torch-channel-ended", f"torch {torch.exact} is not in the channel `pytorch`", torch.where, hint


def _two_cudas(environment: Environment, _: Settings) -> Found:
    asked = [
        spec
        for spec in environment.conda
        if spec.name in ("pytorch-cuda", "cuda-version", "cudatoolkit") and spec.exact
    ]
    for other in asked[1:]:
        first, second = (".".join(spec.exact.split(".")[:2]) for spec in (asked[0], other))
        if not recipes.under(first, second) and not recipes.under(second, first):
            summary = f"`{other.text}` beside `{asked[0].text}`"
            yield "two-cudas", summary, other.where, f"write `{other.name}={first}`, or leave it out"


def _two_torches(environment: Environment, _: Settings) -> Found:
    torch = environment.spec("pytorch", "pytorch-gpu", "pytorch-cpu")
    for line in environment.pip if torch else ():
        if torch and _SECOND_CUDA.match(line.name):
            yield "two-torches", f"`{line.text}` in the pip part beside conda's torch", line.where, "remove the line"


def _driver(environment: Environment, settings: Settings) -> Found:
    cuda = meant_cuda(environment)
    oldest, own = (recipes.oldest_driver(cuda), recipes.toolkit_driver(cuda)) if cuda else (None, None)
    where = _cuda_place(environment)
    if not settings.driver or not oldest or not cuda:
        return
    if recipes.below(settings.driver, oldest):
        hint = f"upgrade the drivers to {oldest} or newer, or take a CUDA that driver {settings.driver} runs"
        yield "cuda-driver", f"CUDA {cuda} needs driver {oldest}, the floor is {settings.driver}", where, hint
    elif own and recipes.below(settings.driver, own):
        hint = f"driver {own} or newer has nothing to leave out"
        yield "cuda-toolkit-driver", f"CUDA {cuda} runs on driver {settings.driver} by compatibility only", where, hint


def _mkl(environment: Environment, _: Settings) -> Found:
    torch, mkl = environment.spec("pytorch"), environment.spec("mkl")
    bad, concerned = recipes.data()["mkl"]["first_bad"], recipes.data()["mkl"]["torch"]
    if (
        not torch
        or not any(recipes.under(torch.exact, version) for version in concerned)
        or not _of_pytorch_channel(environment)
    ):
        return
    if mkl is None or not _stays_below(mkl, bad):
        summary = f"torch {torch.exact} with mkl {bad} or newer"
        yield "mkl-torch", summary, (mkl or torch).where, f"write `mkl<{bad}` in `dependencies`"


def _defaults(environment: Environment, _: Settings) -> Found:
    where = environment.marks.get("channels")
    licensed = [
        name
        for name in environment.channels
        if name in ("defaults", "main", "r", "anaconda") or "repo.anaconda.com" in name
    ]
    if licensed:
        hint = "write `channels: [conda-forge, nodefaults]`"
        yield "defaults-licence", f"{_and(licensed)} among the channels needs a licence", where, hint
    elif "nodefaults" not in environment.channels:
        hint = f"write `channels: [{', '.join(environment.channels)}, nodefaults]`"
        yield "nodefaults", "`nodefaults` is not among the channels", where, hint


def _floating(environment: Environment, _: Settings) -> Found:
    frameworks = recipes.data()["frameworks"]["names"]
    pinned = [p for p in _asked(environment) if p.name in frameworks and p.exact]
    for line in environment.pip if pinned else ():
        if line.requirement and not line.exact:
            beside = f"{pinned[0].name} {pinned[0].exact}"
            hint = f"write `{line.name}==VERSION`, with the version that the lock holds"
            yield "floating-pip", f"`{line.text}` is not pinned beside {beside}", line.where, hint


def _name_lies(environment: Environment, _: Settings) -> Found:
    for pattern, what in _NAMED:
        said = pattern.search(environment.name)
        version = (
            meant_by_packages(environment) if what == ("cuda",) else (_pin(environment, *what) or ("", "", None))[1]
        )
        told = f"{said[1]}.{said[2]}" if said else ""
        if said and version and not recipes.under(version, told) and not recipes.under(told, version):
            thing = {"cuda": "CUDA", "python": "Python"}.get(what[0], "torch")
            right = environment.name.replace(
                said.group(), re.sub(r"\d[\d.]*", "".join(version.split(".")[:2]), said.group())
            )
            summary = f"the name says {thing} {told}, the content {version}"
            yield "name-lies", summary, environment.marks.get("name"), f"write `name: {right}`"


def _meaningless(environment: Environment, _: Settings) -> Found:
    if environment.name.lower() in recipes.data()["names"]["meaningless"]:
        hint = "write `name: FUNCTION-STACK`, such as `img2video-torch20-cu118`"
        yield "name-meaningless", f"`{environment.name}` says nothing", environment.marks.get("name"), hint


def _prefix_length(environment: Environment, settings: Settings) -> Found:
    python = _pin(environment, "python")
    version = ".".join((python[1] if python else "3.11").split(".")[:2])
    interpreter = f"{settings.root}/envs/.generations/{environment.name}/{'0' * 12}-1/bin/python{version}"
    length = len(interpreter.encode())
    if length > LONGEST_INTERPRETER:
        hint = f"give it a name that is {length - LONGEST_INTERPRETER} bytes shorter"
        summary = f"the path of its Python would have {length} bytes; {LONGEST_INTERPRETER} are allowed"
        yield "prefix-length", summary, environment.marks.get("name"), hint


def _pip_lines(environment: Environment, _: Settings) -> Found:
    for line in environment.pip:
        text = line.text.partition(" #")[0].strip()
        if line.requirement is not None:
            continue
        if text.startswith("-") and not text.startswith(("-e", "--editable")):
            yield "pip-option", f"`{text.split()[0]}` in the pip part is not honoured", line.where, _option_hint(text)
        else:
            yield "pip-wheels-only", f"`{text}` is no wheel of an index", line.where, _wheel_hint(line)


def _pip_needs(environment: Environment, _: Settings) -> Found:
    if environment.pip and not environment.spec("python"):
        yield "pip-without-python", "there is a pip part and no `python`", environment.pip[0].where, "add `python=3.11`"
    elif environment.pip and not environment.spec("pip"):
        yield (
            "pip-undeclared",
            "there is a pip part and no `pip`",
            environment.pip[0].where,
            "add `pip` to `dependencies`",
        )


def _twice(environment: Environment, _: Settings) -> Found:
    parts: tuple[tuple[CondaSpec | PipLine, ...], ...] = (environment.conda, environment.pip)
    for lines in parts:
        counted = Counter(line.name for line in lines if line.name)
        for line in lines:
            if counted.get(line.name, 0) > 1 and line is not next(other for other in lines if other.name == line.name):
                yield "twice", f"`{line.name}` is asked for twice", line.where, "keep one of the two lines"
    for line in environment.pip:
        spec = environment.spec(line.name)
        if spec and line.name != "pip":
            hint = "keep the conda line: pip's part takes it from there"
            yield "twice", f"`{line.name}` is asked of conda and of pip", line.where, hint


def _python_open(environment: Environment, _: Settings) -> Found:
    python = environment.spec("python")
    if python and not re.search(r"\d", python.version):
        yield "python-open", "no version of Python is asked for", python.where, "write `python=3.11`"


_CHECKS: tuple[Callable[[Environment, Settings], Found], ...] = (
    _torch_set,
    _torch_python,
    _torch_cuda,
    _torch_channel,
    _two_cudas,
    _two_torches,
    _driver,
    _mkl,
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


def _pin(environment: Environment, *names: str) -> Pin | None:
    """The exact version asked of conda, else of pip, for the first of these names that is pinned."""
    for item in _asked(environment):
        if item.name in names and item.exact:
            return item.name, item.exact.partition("+")[0], item.where
    return None


def _asked(environment: Environment) -> tuple[CondaSpec | PipLine, ...]:
    return (*environment.conda, *environment.pip)


def _set_of(row: dict[str, Any]) -> str:
    return f"torch {row['torch']}, torchvision {row['torchvision'][0]}, torchaudio {row['torchaudio'][0]}"


def _cuda_place(environment: Environment) -> Mark | None:
    spec = environment.spec("pytorch-cuda", "cuda-version", "cudatoolkit")
    return spec.where if spec else environment.marks.get("name")


def meant_by_packages(environment: Environment) -> str:
    """The CUDA that the packages ask for, whatever the name says."""
    from dataclasses import replace

    return meant_cuda(replace(environment, name="")) or ""


def _of_pytorch_channel(environment: Environment) -> bool:
    return any(url.endswith("/pytorch") for url in canonical_channels(environment.channels))


def _stays_below(spec: CondaSpec, bad: str) -> bool:
    """Whether a spec holds a package below a version, by an upper bound or a pin."""
    bounds = re.findall(r"<=?\s*([0-9][0-9.]*)", spec.version)
    if bounds:
        return all(not recipes.below(bad, bound) for bound in bounds) and f"<={bad}" not in spec.version.replace(
            " ", ""
        )
    return bool(spec.exact) and recipes.below(spec.exact, bad)


def _option_hint(text: str) -> str:
    if text.startswith(("-r", "--requirement", "-c", "--constraint")):
        return "write the lines of that file here: what is locked is bound to this one file"
    return "remove the line; mirrors and certificates are variables of the inventory (`index_mirrors`, `ca_file`)"


def _wheel_hint(line: PipLine) -> str:
    name = re.search(r"(?:#egg=|/)([A-Za-z0-9_.-]+?)(?:\.git|-\d|@|\Z)", line.text)
    wanted = name[1] if name else "NAME"
    return (
        f"write `{wanted}==VERSION` where an index has a wheel of it, or take it from a conda channel;\n"
        "else build its wheel once (`pip wheel`), put it on a server and name that by `--find-links URL`"
    )


def _and(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
