"""Checkouts of real repositories: cloned, updated, repaired after a kill, and never at the cost of local work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provision.agent.resource import Refusal
from provision.agent.resources import git
from provision.agent.system import System

AUTHOR = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]


def run(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *AUTHOR, "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(repo: Path, name: str, text: str) -> str:
    (repo / name).write_text(text)
    run(repo, "add", name)
    run(repo, "commit", "--quiet", "--message", text)
    return run(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    place = tmp_path / "repo"
    place.mkdir()
    run(place, "init", "--quiet")
    commit(place, "app.py", "one")
    return place


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "app"


def converge(repo: Path, dest: Path, **options: Any) -> dict[str, Any]:
    system = System(blob=str)
    spec = git.Spec(repo=f"file://{repo}", dest=str(dest), **options)
    fields: dict[str, Any] = {"actions": []}
    for action in git.decide(spec, git.observe(spec, system)):
        fields.update(git.apply(action, system, lambda **_: None))
        fields["actions"].append(action.verb.word)
    state = git.observe(spec, system)
    assert git.decide(spec, state) == []
    return {**git.fields(spec, state), **fields}


def test_it_is_cloned_once_and_then_left_alone(repo: Path, dest: Path) -> None:
    first = converge(repo, dest, version="main")
    assert (first["actions"], first["before"], first["after"]) == (["create"], None, run(repo, "rev-parse", "HEAD"))
    assert (dest / "app.py").read_text() == "one"
    again = converge(repo, dest, version="main")
    assert (again["actions"], again["before"], again["after"]) == ([], first["after"], first["after"])


def test_a_branch_that_moved_is_followed(repo: Path, dest: Path) -> None:
    before = converge(repo, dest)["after"]
    after = commit(repo, "app.py", "two")
    found = converge(repo, dest)
    assert (found["actions"], found["before"], found["after"]) == (["change"], before, after)
    assert (dest / "app.py").read_text() == "two"


def test_commits_and_tags_name_versions(repo: Path, dest: Path) -> None:
    first = run(repo, "rev-parse", "HEAD")
    run(repo, "tag", "--annotate", "--message", "one", "v1")
    commit(repo, "app.py", "two")
    assert converge(repo, dest, version="v1")["after"] == first
    assert converge(repo, dest, version=run(repo, "rev-parse", "HEAD"))["after"] == run(repo, "rev-parse", "HEAD")
    assert converge(repo, dest, version=first)["after"] == first


def test_a_rewritten_branch_is_followed_too(repo: Path, dest: Path) -> None:
    converge(repo, dest, version="main")
    run(repo, "commit", "--quiet", "--amend", "--message", "rewritten")
    assert converge(repo, dest, version="main")["after"] == run(repo, "rev-parse", "HEAD")


def test_local_changes_stop_it(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    (dest / "app.py").write_text("mine")
    assert converge(repo, dest)["actions"] == []
    commit(repo, "app.py", "two")
    with pytest.raises(Refusal) as refusal:
        converge(repo, dest)
    assert refusal.value.cause == "these files would be overwritten:\n  app.py"
    assert (dest / "app.py").read_text() == "mine"


def test_local_commits_stop_it(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    mine = commit(dest, "mine.py", "mine")
    commit(repo, "app.py", "two")
    with pytest.raises(Refusal, match="has commits of its own"):
        converge(repo, dest)
    run(dest, "branch", "kept", mine)
    converge(repo, dest)
    assert run(dest, "rev-parse", "kept") == mine


def test_a_local_file_in_the_way_stays(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    (dest / "new.py").write_text("mine")
    commit(repo, "new.py", "theirs")
    with pytest.raises(Refusal) as refusal:
        converge(repo, dest)
    assert refusal.value.summary == f"`git checkout` failed for `{dest}`"
    assert "new.py" in refusal.value.cause
    assert (dest / "new.py").read_text() == "mine"


def test_a_killed_clone_is_continued(repo: Path, dest: Path) -> None:
    run(repo, "init", "--quiet", str(dest))
    assert converge(repo, dest)["actions"] == ["create"]


def test_another_address_is_taken(repo: Path, dest: Path, tmp_path: Path) -> None:
    converge(repo, dest)
    moved = repo.rename(tmp_path / "moved")
    assert converge(moved, dest)["actions"] == ["change"]
    assert run(dest, "config", "remote.origin.url") == f"file://{moved}"


def test_only_the_last_commit_is_fetched_when_told(repo: Path, dest: Path) -> None:
    commit(repo, "app.py", "two")
    converge(repo, dest, depth=1)
    assert run(dest, "rev-list", "--count", "HEAD") == "1"
    commit(repo, "app.py", "three")
    converge(repo, dest, depth=1)
    assert (dest / "app.py").read_text() == "three"


def test_what_is_not_there_is_named(repo: Path, dest: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        converge(repo, dest, version="no-such")
    assert refusal.value.summary == "the repository has no version `no-such`"
    with pytest.raises(Refusal, match="cannot read the repository"):
        converge(tmp_path / "gone", dest)


def test_local_changes_are_overwritten_where_the_operator_says_so(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    (dest / "app.py").write_text("mine\n")
    commit(repo, "app.py", "theirs\n")
    with pytest.raises(Refusal, match="local changes") as caught:
        converge(repo, dest, force=True)
    assert "`delete_data: true`" in caught.value.hint
    assert converge(repo, dest, force=True, delete_data=True)["after"]
    assert (dest / "app.py").read_text() == "theirs\n"


def test_nothing_is_cloned_where_the_task_says_so(repo: Path, dest: Path) -> None:
    converge(repo, dest, clone=False)
    assert not dest.exists()


def test_ssh_is_told_of_keys() -> None:
    from provision.agent.resources import git

    spec = git.Spec("ssh://git@example.com/a", "/a", key_file="/root/my key", accept_newhostkey=True)
    told = git._environment(spec, System(blob=str))["GIT_SSH_COMMAND"]
    assert told.endswith("-i '/root/my key' -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new")


def test_another_branch_with_commits_of_its_own_keeps_them(repo: Path, dest: Path) -> None:
    """A branch that is ahead of what was fetched is left, not moved."""
    converge(repo, dest, version="main")
    run(dest, "checkout", "--quiet", "-b", "main")
    mine = commit(dest, "mine.py", "mine")
    commit(repo, "app.py", "two")
    converge(repo, dest, version="main")
    assert run(dest, "rev-parse", "main") == mine
    assert (dest / "app.py").read_text() == "two"


def test_stashes_stay(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    (dest / "app.py").write_text("mine")
    run(dest, "stash")
    commit(repo, "app.py", "two")
    converge(repo, dest)
    assert run(dest, "show", "stash@{0}:app.py") == "mine"


def test_staged_changes_stop_it(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    (dest / "staged.py").write_text("mine")
    run(dest, "add", "staged.py")
    commit(repo, "app.py", "two")
    with pytest.raises(Refusal, match="has local changes"):
        converge(repo, dest)


def test_a_file_that_git_ignores_is_not_overwritten(repo: Path, dest: Path) -> None:
    commit(repo, ".gitignore", "settings.ini\n")
    converge(repo, dest)
    (dest / "settings.ini").write_text("mine")
    (repo / "settings.ini").write_text("theirs")
    run(repo, "add", "--force", "settings.ini")
    run(repo, "commit", "--quiet", "--message", "settings")
    with pytest.raises(Refusal) as refusal:
        converge(repo, dest)
    assert "settings.ini" in refusal.value.cause
    assert (dest / "settings.ini").read_text() == "mine"
    with pytest.raises(Refusal):
        converge(repo, dest, force=True)
    converge(repo, dest, force=True, delete_data=True)
    assert (dest / "settings.ini").read_text() == "theirs"


def test_a_submodule_with_work_in_it_stops_it(repo: Path, dest: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    run(part, "init", "--quiet")
    commit(part, "part.py", "one")
    run(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{part}", "part")
    run(repo, "commit", "--quiet", "--message", "part")
    converge(repo, dest)
    mine = commit(dest / "part", "part.py", "mine")
    commit(repo, "app.py", "two")
    with pytest.raises(Refusal, match="has local changes"):
        converge(repo, dest)
    assert run(dest / "part", "rev-parse", "HEAD") == mine


def test_forced_it_keeps_commits_that_are_in_no_branch(repo: Path, dest: Path) -> None:
    converge(repo, dest)
    mine = commit(dest, "mine.py", "mine")
    commit(repo, "app.py", "two")
    with pytest.raises(Refusal, match="has commits of its own"):
        converge(repo, dest, force=True)
    converge(repo, dest, force=True, delete_data=True)
    assert run(dest, "rev-parse", f"refs/provision/left/{mine[:12]}") == mine


RACES = {
    "a file is edited": 'echo "years of work" >app.py',
    "a file comes that the version brings": 'echo "years of work" >new.py',
    "something is committed": 'echo "years of work" >mine.py && git add mine.py && git commit -qm mine',
    "a branch is begun": 'git checkout -qb mine && echo "years of work" >b.py && git add b.py && git commit -qm mine',
    "something is staged": 'echo "years of work" >staged.py && git add staged.py',
    "something is stashed": 'echo "years of work" >app.py && git stash -q',
}


COMMITTED = [name for name, script in RACES.items() if "commit" in script]
RACED = [*((name, False) for name in RACES), *((name, True) for name in COMMITTED)]
"""With `force`, what is not committed goes, as the operator says."""


def interrupted(folder: Path, dest: Path, number: int, script: str) -> dict[str, str]:
    """Variables with which the n-th call of git finds that somebody was there before; after the last, nobody comes."""
    count, program = folder / "count", folder / "bin/git"
    program.parent.mkdir(parents=True)
    count.write_text("")
    real = shutil.which("git")
    author = "export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b"
    calls = f'printf x >>{count}; [ "$(wc -c <{count})" -ne {number} ] || (export PATH=/usr/bin:/bin; {script})'
    program.write_text(f'#!/bin/sh\n{author}\n{calls.replace(script, f"cd {dest}; {script}")} >&2\nexec {real} "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin"}


def holds_work(dest: Path) -> bool:
    """In a file there, in the index, or in a commit that a reference leads to."""
    if any("years of work" in path.read_text() for path in dest.glob("*.py")):
        return True
    return "years of work" in run(dest, "log", "--all", "-m", "-p")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "forced"), RACED)
def test_work_that_comes_between_two_calls_of_git_stays(repo: Path, tmp_path: Path, name: str, forced: bool) -> None:
    number, calls = 0, 1
    while number < calls:
        number += 1
        dest = tmp_path / f"dest-{number}"
        converge(repo, dest)
        commit(repo, "app.py", f"other {number}")
        commit(repo, "new.py", f"new {number}")
        environment = interrupted(tmp_path / str(number), dest, number, RACES[name])
        system = System(blob=str, environment=environment)
        spec = git.Spec(f"file://{repo}", str(dest), force=forced, delete_data=forced)
        told = ""
        try:
            for action in git.decide(spec, git.observe(spec, system)):
                git.apply(action, system, lambda **_: None)
        except Refusal as refusal:
            told = refusal.summary
        calls = len((tmp_path / str(number) / "count").read_text())
        if number <= calls:
            assert holds_work(dest), f"call {number} of {calls}: the work is gone; {told or 'changed'}"
        run(repo, "rm", "-q", "new.py")
        run(repo, "commit", "--quiet", "--message", "without it")
    assert number > 4


def test_a_place_that_somebody_takes_before_a_clone_is_left_alone(repo: Path, tmp_path: Path) -> None:
    dest = tmp_path / "app"
    spec, system = git.Spec(f"file://{repo}", str(dest)), System(blob=str)
    (action,) = git.decide(spec, git.observe(spec, system))
    dest.mkdir()
    (dest / "rows").write_text("years of work")
    with pytest.raises(Refusal) as refusal:
        git.apply(action, system, lambda **_: None)
    told = (refusal.value.summary, refusal.value.cause, refusal.value.hint)
    assert told == (
        f"`{dest}` was changed by somebody else",
        "something came there after this step looked; nothing of it was replaced",
        "look at what is there, and run again",
    )
    assert [path.name for path in dest.iterdir()] == ["rows"]


def test_what_was_checked_out_is_on_the_disk_before_it_is_said_to_be(repo: Path, dest: Path, tmp_path: Path) -> None:
    """A power cut leaves no checkout that counts as deployed and holds empty files."""
    program = (
        "import sys; from provision.agent.resources import git; from provision.agent.system import System\n"
        "spec, system = git.Spec(sys.argv[1], sys.argv[2]), System(blob=str)\n"
        "for action in git.decide(spec, git.observe(spec, system)): git.apply(action, system, lambda **_: None)\n"
    )
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=syncfs,rename,renameat,renameat2"]
    subprocess.run([*strace, sys.executable, "-c", program, f"file://{repo}", str(dest)], check=True)
    calls = trace.read_text()
    order = [calls.rindex('HEAD.lock", '), calls.index("syncfs("), calls.index("refs/provision/deployed.lock")]
    assert order == sorted(order)
    assert run(dest, "rev-parse", "HEAD") == run(repo, "rev-parse", "HEAD")
