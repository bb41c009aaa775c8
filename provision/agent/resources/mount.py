"""A mount and its row in fstab, with Ansible's meaning of `mount`.

Never waits for a server longer than told, and never removes a directory that holds something.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import edited, fstab, mounts
from ..fstab import Row
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_STATES = ("absent", "absent_from_fstab", "ephemeral", "mounted", "present", "remounted", "unmounted")
_DEADLINE = 90.0
_LOOK = 10.0


@record(frozen=True)
class Spec:
    """A mount point and what is mounted there.

    - mount:
        path: /data
        src: "storage:/export/data"
        fstype: nfs4
        opts: hard,timeo=600
        state: mounted

    `mounted`: in fstab and mounted. `present`: only in fstab. `ephemeral`: mounted, and fstab is left alone.
    `unmounted`: not mounted, and fstab is left alone. `absent`: neither, and an empty mount point goes.
    `absent_from_fstab`: only its row goes. `remounted`: with its options as they are now. `boot: false` is `noauto`.
    """

    path: str
    state: str
    src: Optional[str] = None
    fstype: Optional[str] = None
    opts: str = "defaults"
    boot: bool = True
    dump: str = "0"
    passno: str = "0"
    fstab: str = "/etc/fstab"
    backup: bool = False

    def __post_init__(self) -> None:
        swap = self.fstype == "swap" and self.path in ("none", "swap")
        if (not self.path.startswith("/") and not swap) or "\0" in self.path:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state not in _STATES:
            raise ValueError("state is one of %s" % ", ".join(_STATES))
        if self.state in ("mounted", "present", "ephemeral") and not (self.src and self.fstype):
            raise ValueError("`state: %s` needs `src` and `fstype`" % self.state)
        if swap and self.state not in ("present", "absent", "absent_from_fstab"):
            raise ValueError("swap is not mounted: `state: present` writes its row")
        if not self.fstab.startswith("/"):
            raise ValueError("fstab is an absolute path")
        words = (self.src or "", self.fstype or "", self.opts, self.dump, self.passno)
        if any("\n" in word or word.startswith("-") for word in words):
            raise ValueError("no field of fstab has a line end or starts with `-`")
        if not all(self.words):
            raise ValueError("no field of fstab is empty")

    @property
    def words(self) -> List[str]:
        return [self.opts, self.dump, self.passno]

    @property
    def row(self) -> Row:
        """The row that is wanted."""
        options = self.opts.split(",")
        if not self.boot and "noauto" not in options and "defaults" not in options:
            options.append("noauto")
        return Row(
            self.src or "", self.path.rstrip("/") or "/", self.fstype or "", ",".join(options), self.dump, self.passno
        )


@record(frozen=True)
class State:
    """`point`: absent, directory, file, other or pending; `source`, `kind`: of what is mounted there, "" for nothing.

    `same`: it is what `src` names. `empty`: the directory that nothing is mounted on holds nothing. `text`: of fstab.
    """

    point: str = "absent"
    mounted: bool = False
    source: str = ""
    kind: str = ""
    same: bool = False
    empty: bool = False
    text: Optional[str] = None
    mode: int = 0o644


def observe(spec: Spec, system: System) -> State:
    """Read fstab and the kernel's table; a look at the mount point itself has a deadline."""
    file = edited.look(spec.fstab, system)
    if not spec.path.startswith("/"):
        return State("directory", text=file.text, mode=file.mode)
    path = _path(spec.path)
    mount = mounts.mount_at(path)
    if mount is not None:
        same = _same(spec, mount, system)
        return State("directory", True, mount.source, mount.kind, same, text=file.text, mode=file.mode)
    point, empty = _point(path, system)
    return State(point, empty=empty, text=file.text, mode=file.mode)


def decide(spec: Spec, state: State) -> List[Action]:
    """What brings mount and row to where they should be; `remounted` is done every time."""
    if spec.state in ("mounted", "ephemeral"):
        return _mounted(spec, state)
    if spec.state == "present":
        return _row(spec, state, fstab.with_row(state.text or "", spec.row))
    if spec.state == "remounted":
        if not state.mounted:
            raise Refusal(
                "cannot remount `%s`" % spec.path, "nothing is mounted there", "use `state: mounted` to mount it"
            )
        return [
            Action(Verb.RELOAD, "mount %s" % spec.path, {"argv": ["mount", *_table(spec), "-o", "remount", spec.path]})
        ]
    if spec.state == "absent_from_fstab":
        return _row(spec, state, fstab.removed(state.text or "", spec.row))
    found = [_unmount(spec, state)] if state.mounted else []
    if spec.state == "absent":
        found += _row(spec, state, fstab.removed(state.text or "", spec.row))
        if not state.mounted and state.point == "directory" and state.empty and found:
            found.append(Action(Verb.REMOVE, spec.path, {"rmdir": spec.path}, before="an empty directory\n"))
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Write fstab, make or remove the mount point, or call mount(8) or umount(8). Refusal when these fail."""
    arguments = action.arguments
    if "do" in arguments:
        return edited.write(action, system)
    if "mkdir" in arguments:
        system.mkdir(arguments["mkdir"])
        return {}
    if "argv" in arguments:
        _call(arguments["argv"], action, system)
    if arguments.get("rmdir"):
        try:
            system.rmdir(arguments["rmdir"])
        except OSError as error:
            emit(output="`%s` stays: %s\n" % (arguments["rmdir"], error.strerror))
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `src`, `fstype`, `opts`, `dump`, `passno`, `fstab`, and whether it is `mounted`."""
    row = spec.row
    found = {"name": spec.path, "src": spec.src, "fstype": spec.fstype, "opts": row.options, "mounted": state.mounted}
    return {**found, "dump": spec.dump, "passno": spec.passno, "fstab": spec.fstab}


def _mounted(spec: Spec, state: State) -> List[Action]:
    if state.point in ("file", "other") and not (spec.fstype == "none" and state.point == "file"):
        raise Refusal(
            "cannot mount on `%s`" % spec.path, "it is no directory", "move it away, or choose another mount point"
        )
    ephemeral = spec.state == "ephemeral"
    if state.mounted and ephemeral:
        if state.same:
            return []
        raise Refusal(
            "another file system is mounted at `%s`" % spec.path,
            "it is `%s` of type %s, and `%s` is wanted" % (state.source, state.kind, spec.src),
            "unmount it first with `state: unmounted`, or choose another mount point",
        )
    made = [] if state.point in ("directory", "file", "pending") else [_point_made(spec)]
    # fstab last: a row that cannot be mounted may keep the host from booting
    rows = [] if ephemeral else _row(spec, state, fstab.with_row(state.text or "", spec.row))
    start = Action(Verb.START, "mount %s" % spec.path, {"argv": _explicit(spec)}, None, _shown(spec))
    if not state.mounted:
        return [*made, start, *rows]
    if not rows:
        return []
    before = fstab.find(state.text or "", spec.row)
    if before is not None and (before.source, before.kind) != (spec.row.source, spec.row.kind):
        return [_unmount(spec, state), start, *rows]
    words = ["mount", "-o", "remount,%s" % spec.row.options, spec.src or "", spec.path]
    return [Action(Verb.RELOAD, "mount %s" % spec.path, {"argv": words}), *rows]


def _point_made(spec: Spec) -> Action:
    return Action(Verb.CREATE, spec.path, {"mkdir": spec.path}, after="a directory, mode 0755\n")


def _unmount(spec: Spec, state: State) -> Action:
    arguments = {"argv": ["umount", spec.path], "rmdir": spec.path if spec.state == "absent" else ""}
    return Action(Verb.STOP, "mount %s" % spec.path, arguments, "%s on %s\n" % (state.source, spec.path), None)


def _row(spec: Spec, state: State, text: str) -> List[Action]:
    if text == (state.text or ""):
        return []
    file = edited.Edited(os.path.realpath(spec.fstab), state.text, mode=state.mode)
    return edited.actions(file, text, keep=spec.backup)


def _table(spec: Spec) -> List[str]:
    return [] if spec.fstab == "/etc/fstab" else ["--fstab", spec.fstab]


def _explicit(spec: Spec) -> List[str]:
    return ["mount", "-t", spec.fstype or "", "-o", spec.row.options, spec.src or "", spec.path]


def _shown(spec: Spec) -> str:
    return "%s on %s type %s (%s)\n" % (spec.src, spec.path, spec.fstype, spec.row.options)


def _path(path: str) -> str:
    """The path as the kernel names it; the folder above is resolved, since a look at the mount itself may hang."""
    path = os.path.normpath(path)
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) if path != "/" else path


def _point(path: str, system: System) -> Any:
    """What is at the mount point, and whether it is an empty directory."""

    def look() -> Any:
        if os.path.isdir(path):
            return "directory", not os.listdir(path)
        return ("file" if os.path.isfile(path) else "other" if os.path.lexists(path) else "absent"), False

    try:
        found = system.within(_LOOK, look) if mounts.on_network(path) else look()
    except TimeoutError:
        raise _silent(path) from None
    return ("pending", False) if found[0] == "absent" and path in system.pending else found


def _same(spec: Spec, mount: mounts.Mount, system: System) -> bool:
    source = spec.src or ""
    if source == mount.source or spec.state != "ephemeral":
        return True
    if "=" in source and not source.startswith("/"):
        tag, _, value = source.partition("=")
        device = "/dev/disk/by-%s/%s" % (tag.lower(), value.strip('"'))
        return os.path.realpath(device) == os.path.realpath(mount.source)
    if not source.startswith("/"):
        return False
    if os.path.realpath(source) == os.path.realpath(mount.source):
        return True

    def look() -> bool:
        return os.path.isdir(source) and os.path.samefile(source, mount.point)

    try:
        return system.within(_LOOK, look)  # a bind mount is known by being the same directory
    except (TimeoutError, OSError):
        return False


def _call(argv: List[str], action: Action, system: System) -> None:
    try:
        done = system.run(argv, timeout=_DEADLINE)
    except FileNotFoundError:
        raise Refusal(
            "cannot run `%s`" % argv[0], "there is no such program on this host", "install the package `mount`"
        ) from None
    if done.timed_out:
        raise _silent(argv[-1])
    if done.returncode != 0:
        raise Refusal(
            "`%s` failed for `%s`" % (argv[0], argv[-1]),
            (done.stderr or done.stdout).strip(),
            "see who uses it: `fuser -vm %s`" % argv[-1] if argv[0] == "umount" else "",
        )


def _silent(path: str) -> Refusal:
    return Refusal(
        "`%s` does not answer" % path, "no answer from its file system in time", "look at the mount and its server"
    )
