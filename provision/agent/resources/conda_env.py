"""An environment that holds exactly a lock: built aside as a generation, verified and sealed.

Does not make it serve: `conda_flip` sets the link, after the apps. A directory that is there and holds the lock's
packages is accepted as it is.
"""

from __future__ import annotations

import json
import os
from dataclasses import field
from typing import Any, Dict, List, Optional

from .. import floor, generations, seal
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_LONGEST_INTERPRETER = 120
"""Bytes of `PREFIX/bin/python3.11` beyond which installers write `#!/usr/bin/env python`."""


@record(frozen=True)
class Spec:
    """An environment by its lock. The fields named `*_blob` are content by its SHA-256.

    `lock` is the lock's own SHA-256. `listing_blob`: JSON list of `{name, version, build, url, sha256, size, kind}`,
    kind "conda" or "pip". `conda_blob`: rattler's lock file. `pip_blob`: JSON list of `{index, kind, packages}`.
    `floor`: what the host must have: `driver`, `cuda`, `toolkit_driver`, `glibc`. `imports` are imported to verify,
    `expect` are versions of torch and cuda. `provided`: PyPI's names of what conda's packages provide. `variables` are
    set by activation. `channel_mirrors` and `index_mirrors` give the address that serves what the lock names by its
    canonical URL. `rattler_lacks` says why there is no `rattler_blob`. `frozen`: conda and pip refuse to change it.
    `locked` is when it was locked; with `only_newer` none goes in that is older than what serves.
    `takeover`: a real directory at the environment's place may be exchanged. `forward`: also go to a lock that a
    rollback left.

        conda_env:
          name: img2video-torch20-cu118
          lock: 0f343b0931126a20f133d67c2b018a3b5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          listing_blob: 9b74c9897bac770ffc029102a200c5de5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          conda_blob: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
          rattler_blob: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
    """

    name: str
    root: str = "/opt/conda"
    state: str = "present"
    lock: str = ""
    locked: str = ""
    only_newer: bool = False
    listing_blob: Optional[str] = None
    conda_blob: Optional[str] = None
    pip_blob: Optional[str] = None
    rattler_blob: Optional[str] = None
    rattler_lacks: str = ""
    uv_blob: Optional[str] = None
    platform: str = "linux-64"
    floor: Dict[str, Optional[str]] = field(default_factory=dict)
    imports: List[str] = field(default_factory=list)
    expect: Dict[str, str] = field(default_factory=dict)
    provided: List[str] = field(default_factory=list)
    variables: Dict[str, str] = field(default_factory=dict)
    channel_mirrors: Dict[str, str] = field(default_factory=dict)
    index_mirrors: Dict[str, str] = field(default_factory=dict)
    link_mode: str = "hardlink"
    post_link_ignore: List[str] = field(default_factory=list)
    takeover: bool = False
    forward: bool = False
    simulated: bool = False
    frozen: bool = False

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name:
            raise ValueError("name: `%s` is no environment's name" % self.name)
        if not os.path.isabs(self.root):
            raise ValueError("root: `%s` is not an absolute path" % self.root)
        if self.state not in ("present", "absent"):
            raise ValueError("state: `%s` is neither present nor absent" % self.state)
        if self.link_mode not in ("hardlink", "copy"):
            raise ValueError("link_mode: `%s` is neither hardlink nor copy" % self.link_mode)
        if self.state == "present":
            self._check_content()

    def _check_content(self) -> None:
        if len(self.lock) != 64 or set(self.lock) - set("0123456789abcdef"):
            raise ValueError("lock: `%s` is not a SHA-256 in hex" % self.lock)
        for name in ("listing_blob", "conda_blob"):
            if not getattr(self, name):
                raise ValueError("%s: is needed" % name)
        if not self.rattler_blob and not self.rattler_lacks:
            raise ValueError("rattler_blob: is needed, or rattler_lacks says why there is none")
        if self.pip_blob and not self.uv_blob:
            raise ValueError("uv_blob: is needed for pip packages")


@record(frozen=True)
class State:
    """What is at the environment's place. `there`: "nothing", "generation", "directory" or "other".

    `current`: the lock that serves, `locked` when it was locked (with `only_newer`). `built`: the newest sealed
    generation of the wanted lock, `packages` in it, `drift` from its seal, and `unowned` files that came since (where
    it is to go: in all that are `kept`).
    `installer`: what installed it where rattler did not.
    `program`: what would install where rattler was not sent, `passed` why others cannot. `expected`: where the next
    build would be. `have` and `want` are package lists, known only where something is to do; `stray` says how a real
    directory differs from the lock. `kept` are generations.
    """

    there: str
    current: str = ""
    locked: str = ""
    built: str = ""
    packages: int = 0
    drift: List[str] = field(default_factory=list)
    unowned: List[str] = field(default_factory=list)
    installer: str = ""
    program: str = ""
    passed: List[str] = field(default_factory=list)
    expected: str = ""
    have: List[str] = field(default_factory=list)
    want: List[str] = field(default_factory=list)
    stray: List[str] = field(default_factory=list)
    held: bool = False
    kept: List[str] = field(default_factory=list)
    facts: Dict[str, Any] = field(default_factory=dict)
    simulated: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look at link, seal and folders; at package lists only where the lock is not there yet."""
    path = generations.link_path(spec.root, spec.name)
    there, current = _there(spec, system, path), generations.current(system, spec.root, spec.name)
    if spec.state == "absent":
        sealed = [generation.path for generation in generations.sealed(system, spec.root, spec.name)]
        kept = [*generations.unsealed(system, spec.root, spec.name), *sealed]
        return State(there=there, kept=kept, unowned=_strange(system, sealed))
    built = generations.find(system, spec.root, spec.name, spec.lock)
    content = generations.seal_of(system, built.path) if built else {}
    drift, unowned = seal.differences(system, built.path, system.depth) if built else ([], [])
    if built and bool(content.get("frozen")) != spec.frozen:
        drift = [*drift, "changed: whether it is frozen"]
    known = State(
        there=there,
        current=current.lock if current else "",
        locked=_locked(system, current) if current and spec.only_newer else "",
        built=built.path if built else "",
        packages=content.get("packages", 0),
        drift=drift,
        unowned=unowned,
        installer=content.get("installer", ""),
        expected=generations.expected_path(spec.root, spec.name, spec.lock),
        held=spec.lock in generations.held(system, spec.root, spec.name),
        facts={key: system.facts.get(key) for key in ("gpu", "glibc", "architecture")},
        simulated=bool(content.get("simulated")),
    )
    return known if built and not drift else _with_packages(spec, system, known, current)


def _locked(system: System, current: generations.Generation) -> str:
    return str(generations.seal_of(system, current.path).get("locked") or "")


def decide(spec: Spec, state: State) -> List[Action]:
    """INSTALL where the lock is not built or drifted; Refusal below the floor, over data, or back to a held lock."""
    link = generations.link_path(spec.root, spec.name)
    if spec.state == "absent":
        return _removal(spec, state, link)
    floor.check_platform(spec.name, spec.platform, state.facts.get("architecture"))
    floor.check(spec.name, spec.floor, state.facts)
    _check_hold(spec, state)
    _check_age(spec, state)
    _check_place(spec, state, link)
    if _accepted(state) or (state.built and not state.drift):
        return []
    _check_length(spec, state)
    _check_installer(spec, state)
    lost, gained = _difference(state)
    return [
        Action(
            Verb.INSTALL,
            link,
            {"spec": spec, "clean": bool(state.built)},
            before="\n".join(lost) if lost else None,
            after="\n".join(gained),
        )
    ]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Build and seal the generation, or remove the link and all generations."""
    spec: Spec = action.arguments["spec"]
    if action.verb is Verb.REMOVE:
        return _remove(spec, system)
    note = floor.notice(spec.floor, system.facts)
    if note:
        emit(output=note + "\n")
    from .. import prefix

    prefix.build(system, spec, action.arguments["clean"], emit)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """The prefix that apps run in, its lock and number of packages; in a plan, where the prefix will be."""
    if spec.state == "absent":
        return {}
    if _accepted(state):
        path = generations.link_path(spec.root, spec.name)
        return {"generation": path, "lock": spec.lock, "packages": len(state.want), "accepted": "not a generation"}
    found: Dict[str, Any] = {"generation": state.built or state.expected, "lock": spec.lock, "packages": state.packages}
    told = {
        "notice": "; ".join(filter(None, [floor.notice(spec.floor, state.facts), _stood_in(state)])),
        "installer": state.installer,
        "unowned": state.unowned,
        "simulated": spec.simulated or state.simulated,
        "warning": _pollution(state),
    }
    return {**found, **{name: value for name, value in told.items() if value}}


def _there(spec: Spec, system: System, path: str) -> str:
    status = system.lstat(path)
    if status is None:
        return "nothing"
    if os.path.islink(path):
        inside = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        return "generation" if os.path.dirname(inside) == generations.store(spec.root, spec.name) else "other"
    return "directory" if os.path.isdir(path) else "other"


def _with_packages(spec: Spec, system: System, known: State, current: Optional[generations.Generation]) -> State:
    """The package lists too; they cost a look into the prefix and the lock's listing."""
    from dataclasses import replace

    from .. import condas, inspection, prefix, records

    if not spec.rattler_blob:
        program, passed = condas.find(system, spec.root)
        known = replace(known, program=str(program or ""), passed=passed)
    locked = json.loads(system.read(system.blob(str(spec.listing_blob))))
    want, stray = prefix.listing_lines(locked), []
    have = generations.read_note(system, current.path, "listing.json") or [] if current else []
    if known.there == "directory":
        there = records.installed(system, generations.link_path(spec.root, spec.name))
        have = sorted("%s %s %s" % (name, version, build or "(pip)") for _, name, version, build in there)
        stray = inspection.differences(locked, there)
    return replace(known, have=have, want=want, stray=stray)


def _accepted(state: State) -> bool:
    return state.there == "directory" and not state.built and bool(state.want) and not state.stray


def _difference(state: State) -> Any:
    """Lines lost and gained: packages, or in a repair what is not as it was sealed."""
    if state.drift:
        return state.drift, ["as locked"]
    have, want = set(state.have), set(state.want)
    return [line for line in state.have if line not in want], [line for line in state.want if line not in have]


def _check_hold(spec: Spec, state: State) -> None:
    if state.held and state.current != spec.lock and not spec.forward:
        raise Refusal(
            "environment `%s` was rolled back from this lock" % spec.name,
            "lock %s was left by `provision rollback`; %s serves" % (spec.lock[:12], state.current[:12] or "nothing"),
            "change its environment.yml and lock it again, or go forward to it with `--forward`",
        )


def _check_age(spec: Spec, state: State) -> None:
    if spec.only_newer and state.current != spec.lock and spec.locked < state.locked:
        raise Refusal(
            "environment `%s` would go back to an older lock" % spec.name,
            "it is of %s, and what serves is of %s" % (spec.locked or "no known time", state.locked),
            "is this the newest version of the project? To go back on purpose, say `-e allow_older_locks=true`",
        )


def _check_place(spec: Spec, state: State, link: str) -> None:
    if state.there == "other":
        raise Refusal(
            "cannot put environment `%s` at `%s`" % (spec.name, link),
            "there is something that is neither a directory nor our link",
            "move it away, or give the environment another name",
        )
    if state.there == "directory" and not state.built and state.stray and not spec.takeover:
        raise Refusal(
            "`%s` is a directory that holds something else than the lock" % link,
            "it was not made by provision and is never changed in place:\n" + "\n".join(state.stray[:20]),
            "give the environment another name,\n"
            "or set `takeover: true`: the directory is exchanged for the new environment and kept beside it",
        )


def _check_installer(spec: Spec, state: State) -> None:
    if not spec.rattler_blob and not state.program:
        from ..condas import none

        raise none(spec.name, spec.rattler_lacks, state.passed)


def _stood_in(state: State) -> str:
    return "installed by %s, since rattler does not run here" % state.installer if state.installer else ""


def _pollution(state: State) -> str:
    """What somebody put into the environment beside its packages: to be told, and no reason to build it again."""
    if not state.unowned:
        return ""
    shown = [line.partition(": ")[2] for line in state.unowned[:3]]
    more = ", …" if len(state.unowned) > len(shown) else ""
    return "no package owns %s%s in `%s`" % (", ".join("`%s`" % name for name in shown), more, state.built)


def _check_length(spec: Spec, state: State) -> None:
    interpreter = os.path.join(state.expected, "bin", "python3.11")
    if len(os.fsencode(interpreter)) > _LONGEST_INTERPRETER:
        raise Refusal(
            "the path of environment `%s` is too long" % spec.name,
            "`%s` has %d bytes; over %d, scripts cannot name their interpreter"
            % (interpreter, len(os.fsencode(interpreter)), _LONGEST_INTERPRETER),
            "give the environment a shorter name, or set a shorter `root`",
        )


def _strange(system: System, paths: List[str]) -> List[str]:
    """What people put into generations, by its paths."""
    return [os.path.join(path, name) for path in paths for name in seal.strange(system, path)]


def _need_nothing_strange(name: str, found: List[str]) -> None:
    if found:
        more = "\nand %d more" % (len(found) - 20) if len(found) > 20 else ""
        raise Refusal(
            "environment `%s` holds what no package brought" % name,
            "removing it would remove that too:\n" + "\n".join(found[:20]) + more,
            "move what is still needed elsewhere, remove the rest by hand, and run again",
        )


def _removal(spec: Spec, state: State, link: str) -> List[Action]:
    if state.there not in ("generation", "nothing"):
        raise Refusal(
            "`%s` is not ours to remove" % link,
            "it is no link to a generation",
            "remove it by hand if it may go",
        )
    if state.there == "nothing" and not state.kept:
        return []
    _need_nothing_strange(spec.name, state.unowned)
    before = "\n".join([link] * (state.there == "generation") + state.kept)
    return [Action(Verb.REMOVE, link, {"spec": spec}, before=before)]


def _remove(spec: Spec, system: System) -> Dict[str, Any]:
    link = generations.link_path(spec.root, spec.name)
    from .. import pruning, trees

    with generations.lock_environment(system, spec.root, spec.name):
        paths = [generation.path for generation in generations.sealed(system, spec.root, spec.name)]
        used = pruning.users(paths)
        if used:
            raise Refusal(
                "environment `%s` is in use" % spec.name,
                "a process or a unit uses `%s`" % sorted(used)[0],
                "stop and remove its apps first (`app` with `state: absent`)",
            )
        _need_nothing_strange(spec.name, _strange(system, paths))
        for path in paths:
            trees.need_removable(path)
        if _there(spec, system, link) == "generation":
            system.remove_link(link)
        for path in [*paths, *generations.unsealed(system, spec.root, spec.name)]:
            pruning.discard(system, spec.root, spec.name, path)
        pruning.drop_store(spec.root, spec.name)
    return {}
