"""Imports what an environment declares, unless that was done when it was built and nothing is another since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, List

from .. import generations, inspection
from ..system import System
from . import environments, prefix
from .finding import Finding, failed, ok, skipped

if TYPE_CHECKING:
    from ..resources.verify_imports import Spec

__all__ = ["look", "proven", "variables"]

_CHECK = "imports.declared"
_DROPPED = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


def look(spec: Spec, system: System) -> List[Finding]:
    """The finding of the rung."""
    generation = prefix.of_environment(system, spec.root, spec.name, spec.lock)
    if generation is None:
        return [failed(_CHECK, "`%s` has no python to import with" % spec.name, spec.name, environments.APPLY)]
    if not spec.imports:
        return [skipped(_CHECK, "the environment declares no imports", spec.name)]
    spec = replace(spec, user=prefix.runner(system, spec.user, generation.path))
    closed = prefix.closed_to(system, spec.user, generation.path)
    if closed:
        summary = "`%s` may not enter `%s`, where the environment is" % (spec.user, closed)
        return [failed(_CHECK, summary, spec.name, "`sudo chmod o+x %s`" % closed, user=spec.user)]
    seal = generations.seal_of(system, generation.path)
    if not spec.deep and proven(system, generation.path, seal, spec.imports):
        count = len(spec.imports)
        return [skipped(_CHECK, "proven at build: %d imports, same files, same driver" % count, spec.name)]
    return [_run(spec, system, generation)]


def proven(system: System, path: str, seal: Dict[str, Any], names: List[str]) -> bool:
    """Whether the names were imported at build under the driver of now, and this run saw the files unchanged."""
    told = seal.get("proven") or {}
    driver = (system.facts.get("gpu") or {}).get("driver")
    same = "driver" in told and told["driver"] == driver
    return same and set(names) <= set(told.get("imports") or []) and environments.intact(system, path)


def variables(system: System, generation: generations.Generation) -> Dict[str, str]:
    """Those of an activated shell, and such that nothing is left behind."""
    activated = generations.variables(system, generation)
    kept = {name: value for name, value in activated.items() if name not in _DROPPED}
    return {**kept, **prefix.quiet()}


def _run(spec: Spec, system: System, generation: generations.Generation) -> Finding:
    found, words = inspection.imported(
        system,
        generation.path,
        spec.imports,
        variables(system, generation),
        isolated=True,
        user=spec.user,
        timeout=spec.deadline,
    )
    if found is None:
        return failed(_CHECK, "its python %s" % words, spec.name, environments.APPLY, user=spec.user)
    simulated = bool(found.get("simulated"))
    if not found["failed"]:
        summary = "%d imports as `%s`" % (len(spec.imports), spec.user)
        return ok(_CHECK, summary, spec.name, imports=spec.imports, user=spec.user, simulated=simulated)
    broken = sorted(found["failed"].items())
    if all(prefix.NOWHERE in error for _, error in broken):
        names = ", ".join("`%s`" % name for name, _ in broken)
        summary = "not imported, since nothing may be written here: %s writes at import" % names
        return skipped(_CHECK, summary, spec.name, user=spec.user, simulated=simulated)
    summary = "cannot import %s" % ", ".join("`%s` (%s)" % (name, error[:200]) for name, error in broken[:3])
    mend = "where files are unchanged, lock the environment with what is lacking; else provision apply"
    detail: Dict[str, Any] = {
        "failed": {name: error[:500] for name, error in broken},
        "user": spec.user,
        "simulated": simulated,
    }
    return failed(_CHECK, summary, spec.name, mend, **detail)
