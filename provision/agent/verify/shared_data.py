"""Looks at shared data: what is mounted, links and their targets, who may write, what is free.

Whatever may hang is looked at by children that are given up at a deadline.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional

from .. import trees
from ..forked import within_all
from ..mounts import Mount, is_kind, mounts, on_network, under
from ..system import System
from .environments import APPLY
from .finding import Finding, failed, ok, skipped
from .host import space
from .traces import user_name

if TYPE_CHECKING:
    from ..resources.verify_shared_data import Spec

__all__ = ["look", "may_write"]


class Place(NamedTuple):
    """The path of the data: without links, what it is, and its file system."""

    real: str
    directory: bool
    status: Any


class Link(NamedTuple):
    """What is where a link should be: absent, link, directory, file or other; `leads`: its target is there."""

    kind: str
    points_at: str = ""
    leads: bool = False
    holds: str = ""
    since: Optional[float] = None
    by: str = ""


def look(spec: Spec, system: System) -> List[Finding]:
    """Every finding of the rung; where the data are not the right ones, nothing below them is looked at."""
    system.watch.flush()
    known = mounts()
    place = _ask(spec, known, [spec.path], {"place": lambda: _place(spec.path)})["place"]
    if isinstance(place, Exception):
        return [_silent(spec, "shared_data.mount", spec.path, place, under(spec.path, known))]
    mount = under(place.real, mounts())  # looking at it may have made an automounter mount it
    wrong = _wrong_mount(spec, place, mount)
    if wrong is not None:
        return [wrong]
    right = ok("shared_data.mount", _told(mount), spec.path, kind=mount.kind if mount else "")
    free = space(spec.path, place.status, spec.free, "shared_data.free")
    return [right, free, *_things(spec, known), *_writable(spec, system, known)]


def may_write(user: str, paths: List[str], system: System) -> Callable[[], Dict[str, bool]]:
    """A function for a child: which of the directories a user may make files in, by access(2) and without writing."""
    import pwd

    uid = system.user_id(user)
    try:
        entry = pwd.getpwuid(uid)
        gid, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        gid, groups = os.getgid(), []

    def ask() -> Dict[str, bool]:
        if uid != os.geteuid():
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        return {path: os.access(path, os.W_OK | os.X_OK) for path in paths}

    return ask


def _place(path: str) -> Place:
    real = os.path.realpath(path)
    return Place(real, os.path.isdir(real + "/."), os.statvfs(real) if os.path.exists(real) else None)


def _wrong_mount(spec: Spec, place: Place, mount: Optional[Mount]) -> Optional[Finding]:
    """Four different things that can be wrong with what is at the path; None where all is right."""
    check, path = "shared_data.mount", spec.path
    remount = "`sudo mount %s`, and see that /etc/fstab has it" % place.real
    meant = spec.mounted or spec.filesystem is not None or spec.source is not None
    if meant and (mount is None or mount.point != place.real):
        what = "a plain directory on the file system of `%s`" % (mount.point if mount else "/")
        what = what if place.directory else "not there"
        return failed(check, "`%s` is not mounted: it is %s" % (path, what), path, remount)
    if not place.directory:
        return failed(check, "`%s` is no directory" % path, path, APPLY)
    if spec.filesystem and mount and not is_kind(mount.kind, spec.filesystem):
        summary = "`%s` is of kind %s, meant is %s" % (path, mount.kind, spec.filesystem)
        return failed(check, summary, path, "see /etc/fstab; " + remount, source=mount.source)
    if spec.source and mount and mount.source.rstrip("/") != spec.source.rstrip("/"):
        summary = "`%s` is mounted from `%s`, meant is `%s`" % (path, mount.source, spec.source)
        return failed(check, summary, path, "see /etc/fstab; `sudo umount %s`, then %s" % (place.real, remount))
    if spec.writable and mount and mount.read_only:
        mend = "`sudo mount -o remount,rw %s`; where that fails, see `sudo dmesg` and the server" % mount.point
        return failed(check, "`%s` is mounted read-only" % path, path, mend, source=mount.source)
    return None


def _told(mount: Optional[Mount]) -> str:
    return "`%s` of kind %s" % (mount.source, mount.kind) if mount else "it is there"


def _things(spec: Spec, known: List[Mount]) -> List[Finding]:
    """Directories and links, each asked for apart where one may hang."""
    directories = [os.path.normpath(os.path.join(spec.path, name)) for name in spec.directories]
    targets = [os.path.join(os.path.dirname(path), target) for path, target in spec.links.items()]
    questions: Dict[str, Callable[[], Any]] = {"d" + path: _directory(path) for path in directories}
    questions.update({"l" + path: _link(path) for path in spec.links})
    answers = _ask(spec, known, [*directories, *spec.links, *targets], questions)
    found = [_judge_directory(spec, path, answers["d" + path], known) for path in directories]
    return found + [_judge_link(spec, path, target, answers["l" + path]) for path, target in spec.links.items()]


def _ask(spec: Spec, known: List[Mount], paths: List[str], questions: Dict[str, Callable[[], Any]]) -> Dict[str, Any]:
    """Answers or exceptions: by children where a path may hang, else at once."""
    if any(on_network(os.path.normpath(path), known) for path in paths):
        return within_all(spec.deadline, questions)
    return {name: _answer(question) for name, question in questions.items()}


def _answer(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except OSError as error:
        return error


def _directory(path: str) -> Callable[[], str]:
    def ask() -> str:
        if os.path.isdir(path):
            return "directory"
        return "other" if os.path.lexists(path) else "absent"

    return ask


def _link(path: str) -> Callable[[], Link]:
    def ask() -> Link:
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return Link("absent")
        traces: Dict[str, Any] = {"since": status.st_ctime, "by": user_name(status.st_uid)}
        if stat.S_ISLNK(status.st_mode):
            return Link("link", os.readlink(path), os.path.exists(path), **traces)
        if stat.S_ISDIR(status.st_mode):
            return Link("directory", holds=trees.contents(path), **traces)
        return Link("file" if stat.S_ISREG(status.st_mode) else "other", **traces)

    return ask


def _judge_directory(spec: Spec, path: str, answer: Any, known: List[Mount]) -> Finding:
    check = "shared_data.directory"
    if isinstance(answer, Exception):
        return _silent(spec, check, path, answer, under(path, known))
    if answer == "directory":
        return ok(check, "it is there", path)
    summary = "the directory `%s` is not there" if answer == "absent" else "`%s` is no directory"
    return failed(check, summary % path, path, APPLY)


def _judge_link(spec: Spec, path: str, target: str, answer: Any) -> Finding:
    check = "shared_data.link"
    if isinstance(answer, Exception):
        return _silent(spec, check, path, answer, None)
    traces = {"since": answer.since, "by": answer.by}
    if answer.kind == "link" and answer.points_at == target:
        if answer.leads:
            return ok(check, "it leads to `%s`" % target, path)
        return failed(check, "`%s` leads to `%s`, which is not there" % (path, target), path, APPLY)
    if answer.kind == "absent":
        return failed(check, "the link `%s` is not there" % path, path, APPLY)
    if answer.kind == "link":
        summary = "`%s` leads to `%s`, meant is `%s`" % (path, answer.points_at, target)
        return failed(check, summary, path, APPLY, **traces)
    nouns = {"directory": "a directory with %s" % answer.holds, "file": "a file"}
    summary = "`%s` is %s, meant is a link to `%s`" % (path, nouns.get(answer.kind, "no link"), target)
    return failed(check, summary, path, "move what is there into `%s`, then provision apply" % target, **traces)


def _writable(spec: Spec, system: System, known: List[Mount]) -> List[Finding]:
    """Who may write where, asked by one child for each user."""
    from ..resource import Refusal

    users = sorted({user for wanted in spec.writable.values() for user in wanted})
    questions: Dict[str, Callable[[], Any]] = {}
    found = []
    for user in users:
        paths = [path for path, wanted in spec.writable.items() if user in wanted]
        try:
            questions[user] = may_write(user, paths, system)
        except Refusal as refusal:
            found += [failed("shared_data.writable", refusal.summary, path, refusal.hint) for path in paths]
    own = user_name(os.geteuid())
    if os.geteuid() != 0:
        lone = [user for user in questions if user != own]
        found += [skipped("shared_data.writable", "only root can ask for `%s`" % user) for user in lone]
        questions = {user: question for user, question in questions.items() if user == own}
    answers = _who_may(spec, questions, own, known)
    for user, answer in answers.items():
        for path in [path for path, wanted in spec.writable.items() if user in wanted]:
            found.append(_judge_writable(spec, user, path, answer, under(os.path.realpath(path), known)))
    return found


def _who_may(spec: Spec, questions: Dict[str, Callable[[], Any]], own: str, known: List[Mount]) -> Dict[str, Any]:
    """Answers by user: by a child that becomes the user, or at once for whom we are, where nothing may hang."""
    quick = own in questions and not any(on_network(os.path.normpath(path), known) for path in spec.writable)
    answers = within_all(spec.deadline, {user: ask for user, ask in questions.items() if not (quick and user == own)})
    return {**answers, own: _answer(questions[own])} if quick else answers


def _judge_writable(spec: Spec, user: str, path: str, answer: Any, mount: Optional[Mount]) -> Finding:
    check = "shared_data.writable"
    if isinstance(answer, Exception):
        return _silent(spec, check, path, answer, mount)
    if answer[path]:
        return ok(check, "`%s` may write" % user, path, user=user)
    if mount and mount.read_only:
        mend = "`sudo mount -o remount,rw %s`" % mount.point
        return failed(check, "`%s` is on a file system that is mounted read-only" % path, path, mend, user=user)
    if user == "root" and mount and mount.network:
        summary = "root may not write to `%s`: its server maps root to nobody (root_squash)" % path
        mend = "run the app as a user who owns the directory, or export it with no_root_squash"
        return failed(check, summary, path, mend, user=user)
    mend = "see `namei -l %s`; give the directory to `%s` or to a group of theirs" % (path, user)
    return failed(check, "`%s` may not write to `%s`" % (user, path), path, mend, user=user)


def _silent(spec: Spec, check: str, path: str, error: Exception, mount: Optional[Mount]) -> Finding:
    if isinstance(error, TimeoutError):
        whose = " of `%s`" % mount.source if mount else ""
        summary = "`%s` does not answer within %g s: the file system%s hangs" % (path, spec.deadline, whose)
        mend = "see the server; `sudo umount -l %s` and mount it again once it answers" % (
            mount.point if mount else path
        )
        return failed(check, summary, path, mend)
    why = getattr(error, "strerror", None) or error
    return failed(check, "`%s` cannot be looked at: %s" % (path, why), path, "see `findmnt --target %s`" % path)
