"""`prune`: what provision made goes, what somebody changed or put there stays, and why."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from provision.agent.journal import Journal
from provision.agent.protocol import Result, Step
from provision.agent.resources import prune
from provision.agent.system import System
from provision.agent.verify import made


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(lambda sha256: "", state_directory=str(tmp_path / "state"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pruned(spec: prune.Spec, system: System) -> list[str]:
    """Take away what may go; gives what stays, and sees that nothing is left to do."""
    state = prune.observe(spec, system)
    for action in prune.decide(spec, state):
        prune.apply(action, system, lambda **what: None)
    after = prune.observe(spec, system)
    assert prune.decide(spec, after) == []
    kept = prune.fields(spec, after)["kept"]
    assert isinstance(kept, list)
    return kept


def test_a_file_goes_with_the_content_that_was_written_only(system: System, tmp_path: Path) -> None:
    for name in ("ours", "changed", "unknown"):
        (tmp_path / name).write_text("changed" if name == "changed" else "x")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    files = {str(tmp_path / name): sha256("x") for name in ("ours", "changed", "link", "gone")}
    kept = pruned(prune.Spec(files={**files, str(tmp_path / "unknown"): ""}), system)
    assert kept == [
        f"{tmp_path}/changed: somebody changed its content since",
        f"{tmp_path}/link: it is no file any more",
        f"{tmp_path}/unknown: it is not known what was written there",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"changed", "unknown", "link"}


def test_directories_go_from_the_inside_out_and_only_empty(system: System, tmp_path: Path) -> None:
    (tmp_path / "old/inner").mkdir(parents=True)
    (tmp_path / "old/inner/a").write_text("x")
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data/inner/theirs").touch()
    names = ("old", "old/inner", "data", "data/inner")
    spec = prune.Spec(
        files={str(tmp_path / "old/inner/a"): sha256("x")}, directories=[str(tmp_path / name) for name in names]
    )
    assert pruned(spec, system) == [
        f"{tmp_path}/data/inner: it is not empty: there is `theirs`",
        f"{tmp_path}/data: it is not empty: there is `inner`",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_link_goes_and_what_it_points_at_stays(system: System, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "was-link").mkdir()
    kept = pruned(prune.Spec(links=[str(tmp_path / "link"), str(tmp_path / "was-link")]), system)
    assert kept == [f"{tmp_path}/was-link: it is no link any more"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "was-link"}


@pytest.mark.parametrize("path", ["relative", "/", "/etc/../x", "/a//b", "/nul\0"])
def test_only_plain_absolute_paths(path: str) -> None:
    with pytest.raises(ValueError, match="no plain absolute path"):
        prune.Spec(directories=[path])


def test_an_environment_lies_in_envs() -> None:
    with pytest.raises(ValueError, match="no place of an environment"):
        prune.Spec(environments=["/opt/data"])


def test_the_list_of_changes_keeps_playbook_content_and_lines_of_crontabs(system: System, tmp_path: Path) -> None:
    journal = Journal(system.state_directory)
    path = tmp_path / "made"
    path.write_text("x")
    action = {"verb": "create", "target": str(path), "before": None, "after": "x"}
    run = {"run": "r", "operator": "o", "playbook": "a/b/c.yaml"}
    written = Result(1, "changed", [action], {"sha256": "12"})
    journal.changed(run, Step(1, "file", {"path": str(path)}, "Made"), written)
    again = Result(2, "changed", [{**action, "verb": "change"}], {"sha256": "34"})
    journal.changed(run, Step(2, "file", {"path": str(path)}, "Made"), again)
    (told,) = made.paths(system)
    assert (told["sha256"], told["playbook"], told["kind"]) == ("34", "a/b/c.yaml", "file")
    entry = {"name": "tidy", "job": "echo secret", "user": "root", "state": "present"}
    journal.changed(run, Step(3, "cron", entry, "Job"), Result(3, "changed", [{**action, "target": "crontab of root"}]))
    lines = (Path(system.state_directory) / "journal/changes").read_text().splitlines()
    assert json.loads(lines[-1])["entry"] == {"name": "tidy", "user": "root", "state": "present"}
    assert "echo secret" not in lines[-1]
