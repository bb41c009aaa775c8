"""Environments before a run: linted, and each with a lock that fits. Contacts no host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from provision.conda import lint
from provision.conda.capability import Uses
from provision.conda.environment import Environment, read
from provision.conda.lock import check, make_lock, paths, read_lock
from provision.conda.locked import Lock
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError, ProvisionErrors

__all__ = ["prepare", "read_all"]

Report = Callable[[str], None]


def prepare(
    files: Iterable[Path],
    settings: Settings,
    *,
    uses: Uses | None = None,
    lock_missing: bool = True,
    strict: bool = False,
    report: Report,
) -> dict[Path, Lock]:
    """The lock of each environment.yml, by the path that was given; `uses` says for which of them what is meant.

    `report` is told of warnings and of what is locked. What has no lock is locked now, with `lock_missing` False it is
    an error. Raises ProvisionError, ProvisionErrors for several files: unreadable, refused by the rules, a lock that is
    stale or not what was locked.
    """
    environments = read_all(files, settings, uses=uses, strict=strict, report=report)
    errors: list[ProvisionError] = []
    locks: dict[Path, Lock] = {}
    for path, environment in environments.items():
        try:
            locks[path] = _lock(environment, settings_of(path, settings, uses), lock_missing, report)
        except ProvisionError as error:
            errors.append(error)
    raise_all(errors)
    return locks


def settings_of(path: Path, settings: Settings, uses: Uses | None) -> Settings:
    """The settings for one file, with the platform that it is for."""
    use = (uses or {}).get(path)
    return settings.for_platform(use.platform) if use else settings


def read_all(
    files: Iterable[Path], settings: Settings, *, uses: Uses | None = None, strict: bool, report: Report
) -> dict[Path, Environment]:
    """Every file read and linted; warnings and notices go to `report`. Raises ProvisionError(s)."""
    errors: list[ProvisionError] = []
    environments: dict[Path, Environment] = {}
    for path in dict.fromkeys(files):
        try:
            environment = read(path)
            use = (uses or {}).get(path)
            findings = lint.lint(environment, settings, use.gpus if use else ())
            lint.refuse(findings, strict=strict)
        except ProvisionError as error:
            errors.append(error)
            continue
        environments[path] = environment
        for finding in findings:
            report(told(finding))
    errors += _same_names(environments.values(), settings)
    raise_all(errors)
    return environments


def told(finding: lint.Finding) -> str:
    """A finding that stops nothing, as a line."""
    place = f" ({finding.where})" if finding.where else ""
    return f"{finding.rule.severity}: {finding.summary}{place}; {finding.hint}"


def raise_all(errors: list[ProvisionError]) -> None:
    """Raises what was collected, one error as it is."""
    flat = [inner for error in errors for inner in (error.errors if isinstance(error, ProvisionErrors) else (error,))]
    if flat:
        raise flat[0] if len(flat) == 1 else ProvisionErrors(flat)


def _lock(environment: Environment, settings: Settings, lock_missing: bool, report: Report) -> Lock:
    lock = read_lock(environment, settings)
    if lock is None and (settings.signed or not lock_missing):
        raise ProvisionError(
            f"`{environment.name}` has no lock",
            where=environment.marks.get("name"),
            cause=f"there is no `{paths(environment, settings).manifest}`",
            hint=f"make one with `provision lock {'--sign KEY ' if settings.signed else ''}{environment.path}`",
        )
    if lock is None:
        report(f"locking `{environment.name}`: it has no lock yet")
        lock = make_lock(environment, settings, report=report)
        report(f"locked `{environment.name}`: {len(lock.packages)} conda and {len(lock.pip)} pip packages")
        return lock
    reasons = check(environment, lock, settings)
    if reasons:
        raise stale(environment, reasons)
    return lock


def stale(environment: Environment, reasons: list[str]) -> ProvisionError:
    """The error that a lock no longer fits its file."""
    return ProvisionError(
        f"the lock of `{environment.name}` is stale",
        where=environment.marks.get("name"),
        cause="\n".join(reasons),
        hint=f"lock it again with `provision lock {environment.path}`",
    )


def _same_names(environments: Iterable[Environment], settings: Settings) -> list[ProvisionError]:
    """Two files whose locks would be the same files."""
    seen: dict[Path, Environment] = {}
    errors = []
    for environment in environments:
        place = paths(environment, settings).manifest.resolve()
        other = seen.setdefault(place, environment)
        if other is not environment and other.path.resolve() != environment.path.resolve():
            errors.append(
                ProvisionError(
                    f"two environments are named `{environment.name}`",
                    where=environment.marks.get("name"),
                    cause=f"`{other.path}` has the name too, and both would be locked in `{place.name}`",
                    hint="give one of them another name",
                )
            )
    return errors
