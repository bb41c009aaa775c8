"""Whether cloud-init is at work, from what it leaves in /run."""

from __future__ import annotations

import json
from pathlib import Path

from provision.agent import first_boot


def prepared(root: Path, stage: str | None) -> Path:
    (root / "run/cloud-init").mkdir(parents=True)
    (root / "run/cloud-init/status.json").write_text(json.dumps({"v1": {"stage": stage}}))
    (root / "proc/812").mkdir(parents=True)
    (root / "proc/812/cmdline").write_bytes(b"/usr/bin/python3\0/usr/bin/cloud-init\0modules\0--mode=final\0")
    return root


def test_a_host_without_cloud_init_is_not_waited_for(tmp_path: Path) -> None:
    assert first_boot.at_work(str(tmp_path)) == ""


def test_its_stage_and_process_are_named(tmp_path: Path) -> None:
    root = prepared(tmp_path, "modules-final")
    assert first_boot.at_work(str(root), "ssh.service") == "cloud-init in stage modules-final (pid 812)"
    (root / "proc/812/cmdline").write_bytes(b"")
    assert first_boot.at_work(str(root), "ssh.service") == "cloud-init in stage modules-final"


def test_between_two_stages_it_is_still_at_work(tmp_path: Path) -> None:
    assert first_boot.at_work(str(prepared(tmp_path, None)), "ssh.service") == "cloud-init (pid 812)"


def test_what_it_started_itself_does_not_wait_for_it(tmp_path: Path) -> None:
    assert first_boot.at_work(str(prepared(tmp_path, "modules-final")), "cloud-final.service") == ""


def test_done_and_disabled_are_no_work(tmp_path: Path) -> None:
    for name in ("result.json", "disabled"):
        root = prepared(tmp_path / name, "modules-final")
        (root / "run/cloud-init" / name).write_text("")
        assert first_boot.at_work(str(root), "ssh.service") == ""
