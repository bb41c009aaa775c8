"""What an app's files are written into: never a place that the app's own user chose."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from provision.agent.resource import Action, Refusal, Verb
from provision.agent.resources import app
from provision.agent.system import System

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def write(folder: Path, state: Path) -> None:
    arguments = {"do": "write", "kind": "script", "path": f"{folder}/start_web.sh", "text": "x", "name": "web"}
    system = System(blob=str, state_directory=str(state))
    app.apply(Action(Verb.CREATE, arguments["path"], arguments), system, lambda **what: None)


def test_a_script_is_written_into_a_folder_and_through_a_link_of_root(tmp_path: Path) -> None:
    write(tmp_path / "web/bin", tmp_path / "state")
    (tmp_path / "link").symlink_to(tmp_path / "web/bin")
    (tmp_path / "web/bin/start_web.sh").write_text("old")
    write(tmp_path / "link", tmp_path / "state")
    script = tmp_path / "web/bin/start_web.sh"
    assert (script.read_text(), script.stat().st_mode & 0o777) == ("x", 0o755)
    assert [path.name for path in script.parent.iterdir()] == ["start_web.sh"]


def test_a_link_of_somebody_else_does_not_lead_root_anywhere(tmp_path: Path) -> None:
    (tmp_path / "profile.d").mkdir()
    (tmp_path / "bin").symlink_to(tmp_path / "profile.d")
    os.chown(tmp_path / "bin", pwd.getpwnam("nobody").pw_uid, -1, follow_symlinks=False)
    with pytest.raises(Refusal, match="cannot write"):
        write(tmp_path / "bin", tmp_path / "state")
    assert list((tmp_path / "profile.d").iterdir()) == []
