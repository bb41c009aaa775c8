"""What `onboard` refuses before any host, and which playbooks bring a driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.apply import load_job
from provision.errors import ProvisionError
from provision.onboarding.drivers import brings_driver
from provision.onboarding.onboard import onboard
from provision.options import What, Where

ROLES = Path(__file__).parents[3] / "roles"
INVENTORY = "gpu:\n  hosts:\n    gpu-01:\nweb:\n  hosts:\n    web-01:\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/site.yaml").write_text("- hosts: gpu\n  tasks:\n    - debug: {msg: hello}\n")
    (tmp_path / "roles").symlink_to(ROLES)
    return tmp_path


@pytest.mark.parametrize(
    ("yes", "limit", "playbooks", "group"),
    [
        (False, None, 1, None),
        (True, "gpu-01", 1, None),
        (True, None, 0, None),
        (True, None, 2, None),
        (True, None, 1, "web"),
    ],
    ids=["no terminal", "limit", "no playbook", "two playbooks", "group without a play"],
)
def test_what_is_refused_before_any_host(
    project: Path, yes: bool, limit: str | None, playbooks: int, group: str | None, snapshot: SnapshotAssertion
) -> None:
    first = project / "playbooks/site.yaml"
    if playbooks == 2:
        (project / "playbooks/other.yaml").write_text(first.read_text())
    if playbooks == 0:
        first.unlink()
    with pytest.raises(ProvisionError) as error:
        onboard(["10.0.0.9"], yes=yes, group=group, where=Where(limit=limit))
    assert str(error.value) == snapshot
    assert {path.name for path in project.iterdir()} == {"inventory.yaml", "playbooks", "roles"}


def test_an_entry_that_cannot_be_written_is_said_before_any_host(project: Path, snapshot: SnapshotAssertion) -> None:
    (project / "inventory.yaml").write_text("gpu:\n  hosts: {gpu-01: }\n")
    with pytest.raises(ProvisionError) as error:
        onboard(["10.0.0.9"], yes=True)
    assert str(error.value) == snapshot


@pytest.mark.parametrize(
    ("play", "brings"),
    [
        ("  roles: [nvidia]\n", False),
        ("  vars: {nvidia_driver: install}\n  roles: [nvidia]\n", True),
        ("  tasks:\n    - package: {name: nvidia-driver-535}\n      when: facts.os.id == 'debian'\n", True),
        ("  tasks:\n    - package: {name: nvidia-driver-535}\n      when: facts.os.id == 'rhel'\n", False),
        ("  tasks:\n    - package: {name: nvidia-driver-535, state: absent}\n", False),
        ("  tasks:\n    - package: {name: tmux}\n", False),
    ],
    ids=["check", "install", "own task", "other system", "absent", "another package"],
)
def test_which_plays_bring_a_driver(project: Path, play: str, brings: bool) -> None:
    path = project / "playbooks/site.yaml"
    path.write_text(f"- hosts: gpu\n{play}")
    job = load_job("onboard", path, What(), Where())
    assert brings_driver(job, "gpu-01", {"os": {"id": "debian"}}) == brings
    assert not brings_driver(job, "web-01", {})
