"""What offboard takes along of environments, and what of them it leaves where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.agent import generations, mounts, seal
from provision.agent.resource import Refusal
from provision.agent.resources import offboard
from provision.agent.system import System

LOCK = "a" * 64


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A host with one environment that serves, and no app."""
    monkeypatch.setattr(offboard, "_units", lambda system: [])
    monkeypatch.setattr(offboard, "_supervisor", lambda system: [])
    host = System(blob=str, state_directory=str(tmp_path / "state"))
    path = Path(generations.store(str(tmp_path / "conda"), "env"), LOCK[:12] + "-1")
    (path / "lib").mkdir(parents=True)
    (path / "lib/package.py").write_text("")
    host.mkdir(generations.notes_directory(str(path)))
    seal.write(host, str(path), {"lock": LOCK})
    (tmp_path / "conda/envs/env").symlink_to(path)
    return host


def actions(system: System, root: Path) -> list[str]:
    spec = offboard.Spec(roots=[str(root)])
    return [action.target for action in offboard.decide(spec, offboard.observe(spec, system))]


def test_an_environment_that_was_built_here_goes(system: System, tmp_path: Path) -> None:
    root = tmp_path / "conda"
    assert actions(system, root) == [f"{root}/envs/env", f"remove {tmp_path}/state when the agent ends"]


def test_before_anything_is_done_it_is_refused_over_what_people_put_there(system: System, tmp_path: Path) -> None:
    mine = tmp_path / "conda/envs/env/lib/mine.bin"
    mine.write_text("years of work")
    with pytest.raises(Refusal, match="holds what no package brought") as caught:
        actions(system, tmp_path / "conda")
    assert "lib/mine.bin" in caught.value.cause


def test_a_directory_of_people_beside_an_empty_store_stays(system: System, tmp_path: Path) -> None:
    root = tmp_path / "conda"
    (root / "envs/own/conda-meta").mkdir(parents=True)
    (root / "envs/.generations/own").mkdir()
    assert f"{root}/envs/own" not in actions(system, root)


def test_environments_that_other_hosts_may_use_stay_and_are_told(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = mounts.Mount("server:/x", str(tmp_path), "nfs4", ["rw"])
    monkeypatch.setattr(mounts, "mounts", lambda: [far])
    spec = offboard.Spec(roots=[str(tmp_path / "conda")])
    state = offboard.observe(spec, system)
    assert state.environments == []
    assert state.stays == [f"environments {tmp_path}/conda (other hosts may use them)"]
