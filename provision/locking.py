"""`provision lock`: which environment files are meant, and what is said of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from provision.asked_files import environments_of
from provision.conda.commands import Locked
from provision.conda.commands import lock as lock_files
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError
from provision.extra_vars import extra_variables
from provision.fleet_settings import settings
from provision.inventory import load_inventory
from provision.listing import inventory_paths
from provision.options import Where

__all__ = ["lock", "settings"]


def lock(
    files: Sequence[Path], *, check: bool, upgrade: bool, strict: bool, sign: Path | None = None, where: Where
) -> int:
    """Lock environment files, or with `check` say whether their locks fit; 1 when one does not.

    `sign` is the key that signs each lock. Where locks have to be signed, `check` judges that too.
    """
    if check and sign:
        raise ProvisionError("`--check` writes nothing, so it cannot `--sign`", hint="leave one of them away")
    inventory = load_inventory(inventory_paths(where))
    chosen, uses = environments_of(files, inventory, where.limit)
    known = settings(inventory, inventory.select("all", where.limit), extra_variables(where.extra_vars))
    done = lock_files(chosen, known, uses=uses, check_only=check, upgrade=upgrade, strict=strict, report=_say)
    if sign:
        _sign(done, sign)
    elif check and known.signed:
        done = [_judged(one, known) for one in done]
    for one in done:
        print("\n".join(_lines(one)))
    return 0 if all(one.fits for one in done) else 1


def _sign(done: Sequence[Locked], key: Path) -> None:
    from provision.conda import signing

    for one in done:
        if one.lock:
            signing.sign(one.lock.paths, key)
            _say(f"signed `{one.lock.paths.manifest}`")


def _judged(one: Locked, known: Settings) -> Locked:
    from provision.conda import signing

    if one.lock is None:
        return one
    try:
        signing.verify(one.lock, known.allowed_signers)
    except ProvisionError as error:
        return replace(one, state="unsigned", reasons=(*one.reasons, error.cause or error.summary))
    return one


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _lines(one: Locked) -> Iterable[str]:
    counts = f", {len(one.lock.packages)} conda and {len(one.lock.pip)} pip packages" if one.lock else ""
    platform = f" for {one.lock.platform}" if one.lock and one.lock.platform != "linux-64" else ""
    simulated = " (simulated stand-ins)" if one.lock and one.lock.simulated else ""
    yield f"{one.name}: {one.state}{counts}{platform}{simulated}"
    yield from (f"  {reason}" for reason in one.reasons)
    if one.lost or len(one.gained) < len(one.lock.packages if one.lock else ()):
        yield from (f"  + {package}" for package in one.gained)
    yield from (f"  - {package}" for package in one.lost)
