"""What `provision lock` does, without its arguments: lock, or say whether locks still fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from provision.agent.record import record
from provision.conda.capability import Uses
from provision.conda.environment import Environment
from provision.conda.lock import check, make_lock, read_lock
from provision.conda.locked import CondaPackage, Lock, PipPackage
from provision.conda.mirrors import Settings
from provision.conda.prepare import raise_all, read_all, settings_of
from provision.errors import ProvisionError

__all__ = ["Locked", "lock"]

Report = Callable[[str], None]


@record(frozen=True, slots=True)
class Locked:
    """One environment after the command.

    `state`: "locked" (its lock was made or changed), "current" (it fits), "stale" or "missing" (`check_only`), with the
    `reasons`. `gained` and `lost` are packages as `NAME VERSION`, against the lock that was there.
    """

    path: Path
    name: str
    state: str
    lock: Lock | None
    reasons: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return self.state in ("locked", "current")


def lock(
    files: Iterable[Path],
    settings: Settings,
    *,
    uses: Uses | None = None,
    check_only: bool = False,
    upgrade: bool = False,
    strict: bool = False,
    report: Report,
) -> list[Locked]:
    """Lock each environment.yml, keeping what an existing lock pins unless `upgrade`; `check_only` writes nothing.

    Raises ProvisionError(s) for what cannot be read, is refused by the rules or cannot be solved; the other files are
    locked all the same.
    """
    errors: list[ProvisionError] = []
    done: list[Locked] = []
    for path, environment in read_all(files, settings, uses=uses, strict=strict, report=report).items():
        own = settings_of(path, settings, uses)
        try:
            one = _checked(path, environment, own) if check_only else _made(path, environment, own, upgrade, report)
        except ProvisionError as error:
            errors.append(error)
        else:
            done.append(one)
    raise_all(errors)
    return done


def _checked(path: Path, environment: Environment, settings: Settings) -> Locked:
    found = read_lock(environment, settings)
    if found is None:
        return Locked(path, environment.name, "missing", None, ("it has no lock",))
    reasons = tuple(check(environment, found, settings))
    return Locked(path, environment.name, "stale" if reasons else "current", found, reasons)


def _made(path: Path, environment: Environment, settings: Settings, upgrade: bool, report: Report) -> Locked:
    before = _readable(environment, settings)
    made = make_lock(environment, settings, upgrade=upgrade, report=report)
    old, new = _packages(before), _packages(made)
    state = "current" if before and before.digest == made.digest else "locked"
    return Locked(path, environment.name, state, made, (), tuple(sorted(new - old)), tuple(sorted(old - new)))


def _readable(environment: Environment, settings: Settings) -> Lock | None:
    """The lock that was there; one that cannot be used is about to be replaced, and counts as none."""
    try:
        return read_lock(environment, settings)
    except ProvisionError:
        return None


def _packages(lock: Lock | None) -> set[str]:
    packages: tuple[CondaPackage | PipPackage, ...] = (*lock.packages, *lock.pip) if lock else ()
    return {f"{package.name} {package.version}" for package in packages}
