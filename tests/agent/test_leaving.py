"""The folder of state goes with the process that was to take it along, and with no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.agent import leaving
from provision.agent.resource import Refusal


def prepared(state: Path) -> Path:
    (state / "agent").mkdir(parents=True)
    (state / "agent/archive").write_text("code")
    return state


def test_without_a_mark_everything_stays(tmp_path: Path) -> None:
    state = prepared(tmp_path / "state")
    assert not leaving.leave(str(state))
    assert (state / "agent/archive").exists()


def test_the_mark_of_another_process_is_not_ours(tmp_path: Path) -> None:
    state = prepared(tmp_path / "state")
    leaving.mark(str(state), os.getppid())
    assert not leaving.leave(str(state))
    assert (state / "agent/archive").exists()


def test_a_number_that_was_given_again_is_not_the_process_that_was_meant(tmp_path: Path) -> None:
    state = prepared(tmp_path / "state")
    (state / "leaving").write_text(f"{os.getpid()} 1")
    assert not leaving.leave(str(state))


def test_marked_for_this_process_it_goes(tmp_path: Path) -> None:
    state = prepared(tmp_path / "state")
    leaving.mark(str(state), os.getpid())
    assert leaving.leave(str(state))
    assert not state.exists()


def test_a_state_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    state = prepared(tmp_path / "elsewhere")
    (tmp_path / "state").symlink_to(state)
    leaving.mark(str(state), os.getpid())
    with pytest.raises(Refusal, match="cannot remove"):
        leaving.leave(str(tmp_path / "state"))
    assert (state / "agent/archive").exists()
