"""A checkout of a git repository at a version, with Ansible's meaning, that never loses local work.

Owns one checkout. Fetches by git itself, with argument lists and allowed protocols only; a commit is checked out
detached, so that no branch of somebody who works there is moved.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import checkout, files, reached, trees, trust
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import Completed, System
from ..wheels import without_credentials

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_PROTOCOLS = ("http://", "https://", "ssh://", "file://", "/")
_ASK_DEADLINE = 120.0
_DEPLOYED = "refs/provision/deployed"
"""What was checked out last: a commit that is only there is ours, not somebody's work."""
_LEFT = "refs/provision/left/"
"""Commits of somebody's that were left by `force` and are in no branch."""


@record(frozen=True)
class Spec:
    """What to check out where.

    - git:
        repo: https://github.com/ali-vilab/VGen.git
        dest: /root/Image-to-Video
        version: main

    `version`: branch, tag or full commit. `depth`: fetch only that many commits. `update: false` leaves a checkout
    that is there; `clone: false` makes none. `force` with `delete_data: true` overwrites local changes; commits of
    somebody's that are in no branch are kept below `refs/provision/left/`. `key_file`: the private key for ssh;
    `accept_newhostkey`: a host that ssh does not know is trusted
    the first time. `timeout` is in seconds, for fetching.
    """

    repo: str
    dest: str
    version: str = "HEAD"
    remote: str = "origin"
    depth: Optional[int] = None
    update: bool = True
    recursive: bool = True
    timeout: float = 1800.0
    clone: bool = True
    force: bool = False
    delete_data: bool = False
    key_file: Optional[str] = None
    accept_newhostkey: bool = False
    ssh_opts: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.dest.startswith("/"):
            raise ValueError("dest %r is no absolute path" % self.dest)
        for name in ("version", "remote"):
            value = getattr(self, name)
            if not value or value.startswith("-") or any(character in value for character in " \t\n:?*[\\^~"):
                raise ValueError("%s %r is none" % (name, value))
        if self.depth is not None and self.depth < 1:
            raise ValueError("depth is a number over 0")
        if self.key_file is not None and not self.key_file.startswith("/"):
            raise ValueError("key_file is an absolute path")
        _check_repository(self.repo)


def _check_repository(repo: str) -> None:
    _, separator, rest = repo.partition("://")
    if not repo.startswith(_PROTOCOLS) and (separator or "::" in repo or ":" not in repo or repo.startswith("-")):
        raise ValueError("repo %r: http, https, ssh and file are the protocols that are allowed" % repo)
    if separator and ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise ValueError("repo: a password in the address would be seen by all users; use a credential helper or ssh")


@record(frozen=True)
class State:
    """`kind` of dest: absent, empty, checkout, or data. `head` is its commit, `url` that of its remote; `wanted` is
    the commit that the version names now ("" where a plan cannot ask), `reference` the full name it has there ("" for
    a commit). `dirty`: files changed by somebody, `local`: commits that would be reachable from nowhere.
    """

    kind: str
    head: Optional[str] = None
    url: str = ""
    wanted: str = ""
    reference: str = ""
    holds: str = ""
    dirty: List[str] = field(default_factory=list)
    local: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look at the checkout's files; ask the repository unless the version is the commit that is there."""
    kind, head = _kind(spec.dest), checkout.head(spec.dest)
    if kind == "data":
        return State(kind, holds=trees.contents(spec.dest) if os.path.isdir(spec.dest) else "a file")
    if kind == "checkout" and head and not spec.update:
        return State(kind, head, spec.repo, head)
    wanted, reference = _wanted(spec, system)
    if kind != "checkout":
        return State(kind, None, "", wanted, reference)
    url = spec.repo if checkout.is_remote(spec.dest, spec.remote, spec.repo) else _remote(spec, system)
    if head == wanted or head is None:
        return State(kind, head, url, wanted, reference)
    return State(kind, head, url, wanted, reference, dirty=_changed(system, spec), local=_local(system, spec, head))


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one clone or update. Refusal where something that is not in the repository would be lost."""
    if state.kind == "data":
        raise Refusal(
            "cannot check out to `%s`" % spec.dest,
            "it is no git checkout and holds %s" % state.holds if state.holds != "a file" else "it is a file",
            "move it away, or choose another `dest`",
        )
    if state.head == state.wanted and state.url == spec.repo:
        return []
    if state.head is None and not spec.clone:
        return []
    if not (spec.force and spec.delete_data):
        _refuse_losses(spec, state)
    arguments = {"spec": spec, "wanted": state.wanted, "reference": state.reference, "new": state.kind != "checkout"}
    arguments["head"] = state.head
    verb = Verb.CREATE if state.head is None else Verb.CHANGE
    before = None if state.head is None else _shown(state.url, state.head)
    return [Action(verb, spec.dest, arguments, before, _shown(spec.repo, state.wanted))]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Fetch and check out; each git call can be repeated after a kill."""
    spec: Spec = action.arguments["spec"]
    before, wanted, forced = action.arguments["head"], action.arguments["wanted"], spec.force and spec.delete_data
    if action.arguments["new"]:
        if _kind(spec.dest) not in ("absent", "empty"):
            raise _moved(spec, "something came there")
        _must(spec, _run(system, spec, ["git", "init", "--quiet", spec.dest], _ASK_DEADLINE))
    _set_remote(spec, system)
    _fetch(spec, wanted, action.arguments["reference"], system, emit)
    now = checkout.head(spec.dest)
    if now != before and not forced:
        raise _moved(spec, "its commit is another one, %s" % (now or "none")[:12])
    _keep(spec, now, system, emit)
    # without `--no-overwrite-ignore`, git takes what its `.gitignore` names for worth nothing
    how = "--force" if forced else "--no-overwrite-ignore"
    _must(spec, _git(system, spec, "checkout", "--quiet", how, "--detach", wanted, deadline=spec.timeout))
    # what HEAD was in the very instant: somebody may have committed meanwhile
    _keep(spec, _line(_git(system, spec, "rev-parse", "--verify", "--quiet", "HEAD@{1}")), system, emit)
    files.sync_file_system(spec.dest)
    _must(spec, _git(system, spec, "update-ref", _DEPLOYED, wanted))
    if spec.recursive and os.path.exists(os.path.join(spec.dest, ".gitmodules")):
        update = ("submodule", "update", "--init", "--recursive")
        _must(spec, _git(system, spec, *update, deadline=spec.timeout, emit=emit), system)
    return {"before": before, "after": wanted}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`before` and `after` (the commit that is there), `remote_url`; an update says what was there before."""
    return {"before": state.head, "after": state.head, "remote_url": state.url}


def _refuse_losses(spec: Spec, state: State) -> None:
    if state.dirty:
        listed = "\n".join("  " + line for line in state.dirty[:10])
        more = "\n  and %d more" % (len(state.dirty) - 10) if len(state.dirty) > 10 else ""
        raise Refusal(
            "checkout `%s` has local changes" % spec.dest,
            "these files would be overwritten:\n%s%s" % (listed, more),
            "commit and push them, or `git stash` them there, then run again; to lose them, write `force: true` with "
            "`delete_data: true`"
            if spec.force
            else "commit and push them, or `git stash` them there, then run again",
        )
    if state.local:
        raise Refusal(
            "checkout `%s` has commits of its own" % spec.dest,
            "its commit %s is in no branch and not what was deployed" % (state.head or "")[:12],
            "push them, or give them a branch there, then run again",
        )


def _keep(spec: Spec, commit: Optional[str], system: System, emit: Emit) -> None:
    """A reference for a commit of somebody's that no other one leads to."""
    if commit and _local(system, spec, commit):
        _must(spec, _git(system, spec, "update-ref", _LEFT + commit[:12], commit))
        emit(output="commit %s was in no branch: it is kept as %s%s\n" % (commit, _LEFT, commit[:12]))


def _moved(spec: Spec, how: str) -> Refusal:
    return Refusal(
        "`%s` was changed by somebody else" % spec.dest,
        "%s after this step looked; nothing of it was replaced" % how,
        "look at what is there, and run again",
    )


def _remote(spec: Spec, system: System) -> str:
    return _line(_git(system, spec, "config", "--get", "remote.%s.url" % spec.remote))


def _kind(dest: str) -> str:
    if not os.path.lexists(dest):
        return "absent"
    if os.path.exists(os.path.join(dest, ".git")):
        return "checkout"
    return "empty" if os.path.isdir(dest) and not os.listdir(dest) else "data"


def _wanted(spec: Spec, system: System) -> Tuple[str, str]:
    if len(spec.version) == 40 and all(character in "0123456789abcdef" for character in spec.version):
        return spec.version, ""
    argv = ["git", "ls-remote", "--", spec.repo]
    names = [spec.version] if spec.version == "HEAD" or spec.version.startswith("refs/") else _names(spec.version)
    patterns = [pattern for name in names for pattern in (name, name + "^{}")]
    if system.check and _git_is_pending(system):
        return "", ""
    done = _run(system, spec, [*argv, *patterns], _ASK_DEADLINE)
    if done.returncode != 0:
        why = "no answer within %g s" % _ASK_DEADLINE if done.timed_out else done.stderr.strip()
        hint = _access(why, spec, system, "look at its address and at access to it")
        raise Refusal("cannot read the repository `%s`" % spec.repo, without_credentials(why), hint)
    found = {
        name: commit for commit, name in (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    }
    for name in names:
        if name in found:
            return found.get(name + "^{}", found[name]), name
    raise Refusal(
        "the repository has no version `%s`" % spec.version,
        "`%s` has no branch and no tag of that name" % spec.repo,
        "give a branch, a tag or a full commit",
    )


def _names(version: str) -> List[str]:
    return ["refs/heads/" + version, "refs/tags/" + version]


def _changed(system: System, spec: Spec) -> List[str]:
    done = _must(spec, _git(system, spec, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none"))
    return [line[3:] for line in done.stdout.splitlines()]


def _local(system: System, spec: Spec, head: str) -> bool:
    if _line(_git(system, spec, "rev-parse", "--verify", "--quiet", _DEPLOYED)) == head:
        return False
    return not _must(spec, _git(system, spec, "for-each-ref", "--count=1", "--contains", head)).stdout.strip()


def _set_remote(spec: Spec, system: System) -> None:
    known = _git(system, spec, "config", "--get", "remote.%s.url" % spec.remote)
    if known.returncode != 0:
        _must(spec, _git(system, spec, "remote", "add", spec.remote, spec.repo))
    elif _line(known) != spec.repo:
        _must(spec, _git(system, spec, "remote", "set-url", spec.remote, spec.repo))


def _fetch(spec: Spec, wanted: str, reference: str, system: System, emit: Emit) -> None:
    """By name or commit first; a server that does not give single commits is asked for all branches and tags."""
    depth = ["--depth=%d" % spec.depth] if spec.depth else []
    source = reference or wanted
    target = "refs/remotes/%s/%s" % (spec.remote, source[len("refs/heads/") :])
    refspec = "+%s:%s" % (source, target) if source.startswith("refs/heads/") else source
    one = ["fetch", "--progress", "--no-tags", *depth, "--", spec.remote, refspec]
    done = _git(system, spec, *one, deadline=spec.timeout, emit=emit)
    if done.returncode != 0 and not reference and not done.timed_out:
        every = ["fetch", "--progress", "--tags", "--", spec.remote, "+refs/heads/*:refs/remotes/%s/*" % spec.remote]
        done = _git(system, spec, *every, deadline=spec.timeout, emit=emit)
    _must(spec, done, system)


def _git(
    system: System, spec: Spec, *words: str, deadline: float = _ASK_DEADLINE, emit: Optional[Emit] = None
) -> Completed:
    return _run(system, spec, ["git", "-C", spec.dest, *words], deadline, emit)


def _run(system: System, spec: Spec, argv: List[str], deadline: float, emit: Optional[Emit] = None) -> Completed:
    try:
        return system.run(argv, timeout=deadline, environment=_environment(spec, system), emit=emit)
    except FileNotFoundError:
        why, hint = "it checks out `%s`" % spec.dest, "install the package `git`"
        raise Refusal("there is no `git` on this host", why, hint) from None


def _git_is_pending(system: System) -> bool:
    """An earlier step of this plan would install git."""
    return not system.exists("/usr/bin/git") and any("git" in target.split(", ") for target in system.pending)


def _must(spec: Spec, done: Completed, fetching: Optional[System] = None) -> Completed:
    if done.returncode == 0:
        return done
    word = next((word for word in done.argv[1:] if word not in ("-C", spec.dest)), "")
    why = "it did not end in time" if done.timed_out else "\n".join(done.stderr.strip().splitlines()[-10:])
    owned = "dubious ownership" in done.stderr
    hint = "run the task as the owner of the checkout, with `become_user`" if owned else ""
    hint = _access(why, spec, fetching, hint) if fetching else hint
    raise Refusal("`git %s` failed for `%s`" % (word, spec.dest), without_credentials(why), hint)


def _environment(spec: Spec, system: System) -> Dict[str, str]:
    ssh = ["ssh", "-o", "BatchMode=yes"]
    if spec.key_file:
        ssh += ["-i", spec.key_file, "-o", "IdentitiesOnly=yes"]
    if spec.accept_newhostkey:
        ssh += ["-o", "StrictHostKeyChecking=accept-new"]
    command = " ".join("'%s'" % word.replace("'", "'\\''") if " " in word or "'" in word else word for word in ssh)
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https:ssh:file",
        "GIT_SSH_COMMAND": command + (" " + spec.ssh_opts if spec.ssh_opts else ""),
        **_trusted(spec, system),
    }


def _trusted(spec: Spec, system: System) -> Dict[str, str]:
    """The certificate authorities for git, unless the step's own variables name them."""
    if not spec.repo.startswith("https://") or "GIT_SSL_CAINFO" in system.environment:
        return {}
    path = trust.bundle(system)
    return {"GIT_SSL_CAINFO": path} if path else {}


def _access(said: str, spec: Spec, system: System, otherwise: str) -> str:
    """What helps against git's words; a login that was given and refused is told apart from none."""
    hint = reached.hint(said, "git_credentials", otherwise)
    if "`git_credentials`" in hint and "GIT_CONFIG_COUNT" in system.environment:
        return "what `git_credentials` says is refused for it: correct it; a git before 2.31 cannot be told it at all"
    return hint


def _line(done: Completed) -> str:
    return done.stdout.strip() if done.returncode == 0 else ""


def _shown(url: str, commit: str) -> str:
    return "%s\n%s\n" % (url, commit or "the commit is known after apply")
