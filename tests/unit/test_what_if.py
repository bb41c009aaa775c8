"""What another driver, GPU or CUDA would break: from files and stored facts alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import fact_store
from provision.asked_files import environments_of
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.linting import lint
from provision.locking import lock
from provision.options import Where
from provision.what_if import Change
from provision.what_if_command import what_if

CHANNELS = "channels: [pytorch, nvidia, conda-forge, nodefaults]\ndependencies:\n  - python=3.11\n"
FILES = {
    "inventory.yaml": "all:\n  children:\n    gpu:\n      hosts: {a100: {}, h100: {}, b200: {}, arm: {}, new: {}}\n",
    "old.yml": f"name: video-cu118\n{CHANNELS}  - pytorch=2.0.1\n  - pytorch-cuda=11.8\n  - mkl<2024.1\n  - numpy<2\n",
    "new.yml": f"name: video-cu128\n{CHANNELS}  - pip\n  - pip:\n      - torch==2.9.0\n",
    "arm.yml": f"name: video-arm\n{CHANNELS}  - pip\n  - pip:\n      - torch==2.9.1\n",
    "cpu.yml": f"name: tool\n{CHANNELS}",
    "play.yaml": """\
- name: Apps
  hosts: gpu
  environments:
    - name: video
      variants:
        - file: old.yml
          when_gpu: {compute_capability: "<10.0"}
        - file: new.yml
          when_gpu: {compute_capability: ">=10.0"}
        - file: arm.yml
          platform: linux-aarch64
          when_gpu: {compute_capability: ">=9.0"}
    - file: cpu.yml
      when: inventory_hostname == "a100"
    - name: fixed
      file: old.yml
      when: facts.architecture == "x86_64"
""",
}
GPUS = {"a100": ("A100", "8.0"), "h100": ("H100", "9.0"), "b200": ("B200", "10.0"), "arm": ("GH200", "9.0")}


def facts(host: str) -> dict[str, Any]:
    name, capability = GPUS[host]
    device = {"index": 0, "name": f"NVIDIA {name}", "memory_mb": 81920, "compute_capability": capability}
    gpu = {"driver": "570.26", "cuda": "12.8", "devices": [device], "simulated": host == "h100"}
    return {"architecture": "aarch64" if host == "arm" else "x86_64", "gpu": gpu}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    inventory = load_inventory([Path("inventory.yaml")])
    for host in GPUS:
        fact_store.remember(inventory, host, facts(host))
    return tmp_path


ASKED: dict[str, dict[str, Any]] = {
    "driver of an old branch": {"driver": "470"},
    "a driver too old for all": {"driver": "440.33"},
    "another GPU": {"gpu": "B200"},
    "a GPU with a driver that knows it": {"gpu": "RTX 5090", "driver": "580.65.06"},
    "an older GPU": {"gpu": "V100"},
    "another CUDA": {"cuda": "12.4"},
    "nothing changes": {"driver": "570.26"},
}


@pytest.mark.parametrize("name", ASKED)
def test_it_says_what_breaks_where_and_why(
    name: str, project: Path, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
) -> None:
    asked: dict[str, Any] = ASKED[name]
    code = what_if(**asked, playbook=Path("play.yaml"))
    said = capsys.readouterr().out
    assert said == snapshot
    assert code == (2 if "would break on" in said else 0)
    assert "unknown: new" in said


def test_the_same_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert what_if(gpu="B200", playbook=Path("play.yaml"), output="json", where=Where(limit="a100:new")) == 2
    verdicts = {(one["host"], one["environment"]): one for one in json.loads(capsys.readouterr().out)}
    assert verdicts["new", "video"]["state"] == "unknown"
    assert verdicts["a100", "tool"]["state"] == "runs"
    moved = verdicts["a100", "video"]
    assert (moved["state"], Path(moved["file"]).name, Path(moved["before"]).name) == ("runs", "new.yml", "old.yml")
    assert verdicts["a100", "fixed"]["reasons"] == [
        "torch 2.0.1 for CUDA 11.8 has code for 3.7 to 9.0, not for GPU 0 B200 (10.0)"
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "needs what is to change"),
        ({"driver": "new"}, "is no version"),
        ({"gpu": "B2000"}, "is not known"),
        ({"driver": "470", "playbook": None}, "no playbook"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], words: str, project: Path) -> None:
    with pytest.raises(ProvisionError, match=words):
        what_if(**({"playbook": Path("play.yaml")} | asked))


def test_facts_that_are_broken_count_as_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".provision" / "facts" / "a100.json").write_text('{"facts": [1]}')
    what_if(driver="470", playbook=Path("play.yaml"))
    assert "unknown: a100, new:" in capsys.readouterr().out


def test_a_change_leaves_the_rest_of_the_facts_alone() -> None:
    before = facts("a100")
    after = Change(driver="470").of(before)
    assert after["gpu"]["devices"] == before["gpu"]["devices"]
    assert after["gpu"]["cuda"] == "11.4"
    assert before == facts("a100")


def test_a_playbook_names_the_files_and_platforms_of_its_variants(project: Path) -> None:
    inventory = load_inventory([Path("inventory.yaml")])
    files, uses = environments_of([Path("play.yaml")], inventory)
    assert [path.name for path in files] == ["old.yml", "new.yml", "arm.yml", "cpu.yml"]
    assert {path.name: use.platform for path, use in uses.items()} == {
        "old.yml": "linux-64",
        "new.yml": "linux-64",
        "arm.yml": "linux-aarch64",
    }
    (project / "playbooks").mkdir()
    (project / "play.yaml").rename(project / "playbooks" / "play.yaml")
    for name in ("old", "new", "arm", "cpu"):
        (project / f"{name}.yml").rename(project / "playbooks" / f"{name}.yml")
    _, known = environments_of([Path("playbooks/arm.yml")], inventory)
    assert [use.platform for use in known.values()] == ["linux-aarch64"]


def test_lint_judges_a_variant_by_the_gpus_that_it_is_for(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint([Path("play.yaml")]) == 0
    text = (project / "play.yaml").read_text().replace('">=10.0"', '">=8.0,<9.0"').replace('"<10.0"', '">=10.0"')
    (project / "play.yaml").write_text(text)
    capsys.readouterr()
    assert lint([Path("play.yaml")]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith(
        "old.yml:6:5: error: torch 2.0.1 for CUDA 11.8 has code for 3.7 to 9.0, none for B100 (10.0), "
        "B200 (10.0), GB200 (10.0), … [cuda-capability]"
    )


def test_lint_alone(project: Path, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion) -> None:
    (project / "bad.yml").write_text(f"name: myenv\n{CHANNELS}  - pytorch=2.0.1\n  - numpy=2.1.0\n  - python: 3.1\n")
    (project / "worse.yml").write_text(f"name: myenv\n{CHANNELS}  - pytorch=2.0.1\n  - torchvision=0.15.1\n")
    assert lint([Path("bad.yml"), Path("worse.yml"), Path("cpu.yml")]) == 1
    assert capsys.readouterr().out == snapshot
    assert lint([Path("cpu.yml")], output="json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert lint([Path("cpu.yml")], gpu=["B200"]) == 0
    assert lint([Path("old.yml")], gpu=["B200"]) == 1
    with pytest.raises(ProvisionError, match="did you mean"):
        lint([Path("old.yml")], gpu=["B2000"])


def test_warnings_are_errors_with_strict(project: Path) -> None:
    (project / "cpu.yml").write_text(f"name: test\n{CHANNELS}")
    assert lint([Path("cpu.yml")]) == 0
    assert lint([Path("cpu.yml")], strict=True) == 1


def test_lock_says_which_variants_have_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = lock([Path("play.yaml")], check=True, upgrade=False, strict=False, where=Where())
    said = capsys.readouterr().out
    assert code == 1
    assert [line for line in said.splitlines() if line.endswith("missing")] == [
        "video-cu118: missing",
        "video-cu128: missing",
        "video-arm: missing",
        "tool: missing",
    ]
