"""Builds a generation: aside, verified where it will stay, synced, and sealed last.

A list of stages over modules that each do one: tools, installer, wheels, inspection, activation, seal. A kill at any
instant leaves an unsealed folder, which the next build removes. Must not touch the link (conda_flip does).
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, List

from . import (
    activation,
    condas,
    explicit,
    files,
    floor,
    freeze,
    generations,
    inspection,
    pruning,
    records,
    seal,
    tools,
    trust,
    wheels,
)
from .generations import Generation
from .inspection import Damaged
from .installer import Installation, Unusable
from .installer import install as install_conda
from .record import record
from .resource import Emit, Refusal
from .system import System

if TYPE_CHECKING:
    from .resources.conda_env import Spec

__all__ = ["build", "listing_lines", "space_needed"]

UNPACKED = 4
"""A package unpacks to about this many times its size (measured: 3 to 4 for conda packages and wheels)."""
MARGIN = 256 << 20
"""Bytes that stay free."""


@record
class _Build:
    """What the stages share. `clean`: trust nothing that is cached."""

    system: System
    spec: Spec
    path: str
    clean: bool
    emit: Emit
    packages: List[Dict[str, Any]]
    found: Dict[str, Any]
    variables: Dict[str, str]
    installer: str = ""


def build(system: System, spec: Spec, clean: bool, emit: Emit) -> Generation:
    """Build the next generation of the spec's lock; Refusal names what is wrong, and nothing is left then.

    One that fails verification is built a second time, with the cache checked in full.
    """
    mask = os.umask(0o022)
    # A step's variables are meant for its commands; here PYTHONPATH, UV_* and the like would only do harm.
    system = replace(system, environment=wheels.proxies({**system.environment, **trust.variables(system)}))
    try:
        with generations.lock_environment(system, spec.root, spec.name):
            # chosen before leftovers go: what a killed build still runs must not write into this one
            path = generations.expected_path(spec.root, spec.name, spec.lock)
            pruning.leftovers(system, spec.root, spec.name)
            packages = json.loads(system.read(system.blob(str(spec.listing_blob))))
            _check_space(spec, packages)
            return _verified(_Build(system, spec, path, clean, emit, packages, {}, {}))
    finally:
        os.umask(mask)


def listing_lines(packages: List[Dict[str, Any]]) -> List[str]:
    """A lock's packages as people read them, sorted: name, version, and conda's build or "(pip)"."""
    return sorted(
        "%s %s %s" % (p["name"], p["version"], p.get("build", "") if p["kind"] == "conda" else "(pip)")
        for p in packages
    )


def space_needed(packages: List[Dict[str, Any]], cached: List[str], share: bool) -> int:
    """Bytes that an installation takes; `cached` are folder names of the package cache, and `share` is hard links."""
    known, needed = set(cached), 0
    for package in packages:
        unpacked = (package.get("size") or 0) * UNPACKED
        entry = "%s-%s-%s" % (package["name"], package["version"], package.get("build", ""))
        needed += (0 if entry in known else unpacked) + (0 if share else unpacked)
    return needed


def _verified(work: _Build) -> Generation:
    try:
        return _attempt(work)
    except Damaged as first:
        if work.clean:
            raise _broken(work.spec, first) from None
        work.emit(output="%s; built again with the cache checked in full\n" % first)
    try:
        return _attempt(replace(work, clean=True, found={}, variables={}, installer=""))
    except Damaged as second:
        raise _broken(work.spec, second) from None


def _attempt(work: _Build) -> Generation:
    system, spec, path = work.system, work.spec, work.path
    system.mkdir(generations.notes_directory(path), 0o755)
    try:
        for stage in (_conda, _pip, _inspect, _compile, _activate, _probe, _freeze, _seal):
            stage(work)
    except BaseException:
        pruning.discard(system, spec.root, spec.name, path)
        raise
    return Generation(path, spec.lock, int(path.rpartition("-")[2]))


def _conda(work: _Build) -> None:
    """By rattler; where that does not run, by a conda, mamba or micromamba that is on the host."""
    try:
        if not work.spec.rattler_blob:
            raise Unusable(work.spec.rattler_lacks)
        _by_rattler(work)
    except Unusable as problem:
        _by_program(work, str(problem))
    history = os.path.join(work.path, "conda-meta", "history")
    if work.system.lstat(history) is None:
        work.system.write(history, b"", mode=0o644)
    _starts(work)


def _by_program(work: _Build, why: str) -> None:
    import shutil

    spec, system = work.spec, work.system
    program, passed = condas.find(system, spec.root)
    if program is None:
        raise condas.none(spec.name, why, passed)
    work.emit(output="rattler does not run here (%s); %s installs\n" % (why.splitlines()[0] if why else "", program))
    work.installer = str(program)
    shutil.rmtree(work.path)
    packages = [package for package in work.packages if package["kind"] == "conda"]
    folder = pruning.fresh_cache(spec.root, spec.name)
    system.mkdir(folder, 0o755)
    try:
        order = explicit.Order(program, packages, work.path, folder, spec.channel_mirrors)
        explicit.install(spec.name, order, pruning.marked(system, spec.root, spec.name), work.emit)
    finally:
        pruning.drop_fresh_cache(spec.root, spec.name)
    system.mkdir(generations.notes_directory(work.path), 0o755)


def _starts(work: _Build) -> None:
    """The prefix's python runs at all. What a newer glibc is needed for may not be what its packages say."""
    python = os.path.join(work.path, "bin", "python")
    if work.system.lstat(python) is None:
        return
    ended = work.system.run([python, "-I", "-S", "-c", ""], timeout=60.0, directory="/")
    wanted, has = _newest_glibc(ended.stderr), work.system.facts.get("glibc") or "an older one"
    if ended.returncode and wanted:
        raise Refusal(
            "the python of environment `%s` needs glibc %s" % (work.spec.name, wanted),
            "this host has %s; the packages do not say what they need, so that the lock could not know" % has,
            "take packages that are built for this host's glibc from another channel, or upgrade the host",
        )
    if ended.returncode or ended.timed_out:
        raise Damaged("its python ends with status %d: %s" % (ended.returncode, ended.stderr.strip()[-500:]))


def _newest_glibc(complaint: str) -> str:
    """The newest glibc that a dynamic linker misses, or ""."""
    import re

    return max(re.findall(r"`GLIBC_([0-9.]+)' not found", complaint), key=floor.numbers, default="")


def _by_rattler(work: _Build) -> None:
    spec, system = work.spec, work.system
    rattler = tools.rattler_directory(system, str(spec.rattler_blob))
    fresh = work.clean and not os.path.isdir(os.path.join(rattler, "rattler", "package_cache"))
    cache = pruning.fresh_cache(spec.root, spec.name) if fresh else os.path.join(spec.root, "pkgs")
    system.mkdir(cache, 0o755)
    installation = Installation(
        rattler=rattler,
        lock_file=system.blob(str(spec.conda_blob)),
        platform=spec.platform,
        prefix=work.path,
        cache=cache,
        mirrors=spec.channel_mirrors,
        environment=wheels.proxies(system.environment),
        check_cache=work.clean,
        share=spec.link_mode == "hardlink",
    )
    try:
        install_conda(spec.name, installation, work.emit, system.watch.cancelled)
    finally:
        pruning.drop_fresh_cache(spec.root, spec.name)


def _pip(work: _Build) -> None:
    spec, system = work.spec, work.system
    if not spec.pip_blob:
        return
    groups = wheels.read_groups(system.read(system.blob(spec.pip_blob)))
    if not groups:
        return
    order = wheels.Wheels(
        uv=tools.uv_program(system, str(spec.uv_blob)),
        groups=groups,
        prefix=work.path,
        cache=os.path.join(spec.root, "pkgs", "uv"),
        mirrors=spec.index_mirrors,
        clean=work.clean,
        share=spec.link_mode == "hardlink",
    )
    wheels.install(spec.name, order, pruning.marked(system, spec.root, spec.name), work.emit)
    for line in wheels.judge(spec.name, order, system, spec.provided):
        work.emit(output=line + "\n")


def _inspect(work: _Build) -> None:
    _stage(work, "checking files")
    found = records.conda_records(work.system, work.path)
    inspection.check_link_scripts(work.spec.name, found, work.spec.post_link_ignore)
    inspection.check_files(work.system, work.path, found)
    inspection.check_packages(work.packages, records.installed(work.system, work.path))
    inspection.mend_scripts(work.system, work.path)
    if work.spec.link_mode == "copy":
        inspection.unshare(work.path)


def _compile(work: _Build) -> None:
    """On all cores. A file that does not compile (of another Python, in tests) is no failure: importing it would be."""
    folder = records.site_packages(work.path)
    if folder is None:
        return
    _stage(work, "byte-compiling")
    argv = [
        os.path.join(work.path, "bin", "python"),
        "-I",
        "-m",
        "compileall",
        "-q",
        "-j",
        "0",
        os.path.dirname(folder),
    ]
    system = pruning.marked(work.system, work.spec.root, work.spec.name)
    ended = system.run(argv, timeout=1800.0, directory="/")
    if ended.timed_out or ended.returncode < 0:
        raise Damaged("byte-compiling ended with status %d: %s" % (ended.returncode, ended.stderr.strip()[-500:]))


def _activate(work: _Build) -> None:
    if work.spec.variables:
        state = json.dumps({"env_vars": work.spec.variables, "version": 1}, sort_keys=True).encode()
        work.system.write(os.path.join(work.path, "conda-meta", "state"), state, mode=0o644)
    work.variables = activation.compute(work.system, work.spec.name, work.path)


def _probe(work: _Build) -> None:
    _stage(work, "importing")
    spec = work.spec
    work.found = inspection.probe(work.system, spec.name, work.path, spec.imports, spec.expect, work.variables)


def _freeze(work: _Build) -> None:
    if work.spec.frozen:
        for path, text in freeze.marks(work.path, freeze.python_markers(work.path), freeze.MESSAGE).items():
            work.system.write(path, text.encode(), mode=0o644)


def _seal(work: _Build) -> None:
    _stage(work, "sealing")
    spec, system = work.spec, work.system
    generations.write_note(system, work.path, "variables.json", work.variables)
    generations.write_note(system, work.path, "listing.json", listing_lines(work.packages))
    files.sync_file_system(work.path)
    content = {
        "lock": spec.lock,
        "locked": spec.locked,
        "name": spec.name,
        "packages": len(work.packages),
        "probe": work.found,
        "proven": {"imports": list(spec.imports), "driver": (system.facts.get("gpu") or {}).get("driver")},
        "simulated": bool(spec.simulated or work.found.get("simulated")),
        "frozen": work.spec.frozen,
        **({"installer": work.installer} if work.installer else {}),
    }
    seal.write(system, work.path, content)


def _stage(work: _Build, label: str) -> None:
    work.emit(done=0, total=0, unit="", label=label)


def _check_space(spec: Spec, packages: List[Dict[str, Any]]) -> None:
    cache = os.path.join(spec.root, "pkgs")
    cached = os.listdir(cache) if os.path.isdir(cache) else []
    needed = space_needed(packages, cached, spec.link_mode == "hardlink")
    status = os.statvfs(generations.store(spec.root, spec.name))
    free = status.f_bavail * status.f_frsize
    if free < needed + MARGIN:
        raise Refusal(
            "not enough disk for environment `%s`" % spec.name,
            "it takes about %s on the file system of `%s`, where %s are free"
            % (_size(needed + MARGIN), spec.root, _size(free)),
            "free some (`%s` is a cache), or set `root` to another disk" % cache,
        )


def _size(count: int) -> str:
    return "%.1f GiB" % (count / (1 << 30)) if count >= 1 << 30 else "%d MiB" % (count >> 20)


def _broken(spec: Spec, problem: Damaged) -> Refusal:
    return Refusal(
        "environment `%s` does not work as locked" % spec.name,
        str(problem),
        "what served still serves; change its environment.yml and lock it again",
    )
