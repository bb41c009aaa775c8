"""Checkouts of real repositories: cloned, updated, repaired after a kill, and never at the cost of local work."""

from __future__ import annotations

import subprocess
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
