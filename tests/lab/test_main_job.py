"""The main job on real hosts: bare to serving, again without a change, and what may go wrong on the way."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.report.document import schema

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/gpu-cluster.yaml"
PORTS = {7860: "img2video", 7861: "sd-webui", 8080: "llama-inference"}
ENVIRONMENTS = ("img2video-torch20-cu118", "llama-torch20-cu118", "sd-webui-torch20-cu118")
SEED = 20261124


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    """Three bare hosts for this module alone; its tests follow one another."""
    own = Lab(f"test-{os.getpid()}-job")
    try:
        own.up({"gpu": 3})
        yield own
    finally:
        own.down()


@pytest.fixture
def bare() -> Iterator[Lab]:
    """One bare host."""
    own = Lab(f"test-{os.getpid()}-bare")
    try:
        own.up({"gpu": 1})
        yield own
    finally:
        own.down()


def command(lab: Lab, *argv: str) -> list[str]:
    return [sys.executable, "-m", "provision", *argv, "-i", str(lab.inventory)]


def provision(lab: Lab, *argv: str, project: Path = PROJECT, code: int = 0) -> str:
    done = subprocess.run(
        command(lab, *argv), cwd=project, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def apply(lab: Lab, *argv: str, project: Path = PROJECT, code: int = 0) -> dict[str, Any]:
    text = provision(lab, "apply", PLAYBOOK, "-y", "-o", "json", *argv, project=project, code=code)
    result: dict[str, Any] = json.loads(text)
    jsonschema.validate(result, schema())
    return result


def changed(result: dict[str, Any]) -> set[tuple[str, str]]:
    return {(change["host"], change["task"]) for change in result["changes"]}


def health(host: Host, port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{host.address}:{port}/health", timeout=10) as answer:
        assert answer.status == 200
        found: dict[str, Any] = json.load(answer)
        return found


def serving(lab: Lab) -> None:
    """Every app of every host answers, on torch 2.0.1 with CUDA 11.8, from a sealed generation."""
    for host in lab.hosts:
        for port, app in PORTS.items():
            said = health(host, port)
            assert (said["app"], said["torch"], said["cuda"]) == (app, "2.0.1", "11.8")
            assert "/envs/.generations/" in said["prefix"]


def exposure(host: Host, app: str) -> float:
    """How exposed systemd holds an app's unit to be, from 0 to 10."""
    said = host.run(["systemd-analyze", "security", "--no-pager", f"{app}.service"]).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def visible(host: Host) -> list[str]:
    """What stands at envs/NAME on a host."""
    envs = host.root / "opt/conda/envs"
    return sorted(path.name for path in envs.iterdir() if not path.name.startswith(".")) if envs.is_dir() else []


def whole(host: Host) -> None:
    """Whatever envs/NAME shows is a link to a generation whose python imports torch."""
    for name in visible(host):
        assert (host.root / "opt/conda/envs" / name).is_symlink()
        said = host.run([f"/opt/conda/envs/{name}/bin/python", "-c", "import torch; print(torch.version.cuda)"]).stdout
        assert said.strip() == "11.8"


def test_bare_to_serving(fleet: Lab) -> None:
    result = apply(fleet)
    assert result["ok"]
    assert result["simulated"]
    serving(fleet)
    for host in fleet.hosts:
        assert visible(host) == sorted(ENVIRONMENTS)
        whole(host)
        assert str((host.root / "root/Image-to-Video/assets").readlink()) == "/data/shared-assets"
        assert (host.root / "root/Image-to-Video/bin/start_img2video.sh").is_file()
        assert all(exposure(host, app) <= 5.0 for app in PORTS.values())


def test_second_run_changes_nothing_and_touches_no_file(fleet: Lab) -> None:
    for host in fleet.hosts:
        host.run(["touch", "/run/before"])
    before = {host.name: (host.connections(), host.channels()) for host in fleet.hosts}
    result = apply(fleet)
    assert result["changes"] == []
    assert all(host["changed"] == 0 and host["ok"] > 0 for host in result["hosts"].values())
    for host in fleet.hosts:
        touched = host.run(
            [
                "find",
                "/etc",
                "/opt",
                "/root",
                "/usr",
                "/data",
                "-xdev",
                "-newer",
                "/run/before",
                "-not",
                "-name",
                "__pycache__",
            ]
        ).stdout.split()
        assert touched == []
        assert (host.connections() - before[host.name][0], host.channels() - before[host.name][1]) == (1, 1)


def test_plan_of_a_converged_fleet_is_empty(fleet: Lab) -> None:
    result = json.loads(provision(fleet, "plan", PLAYBOOK, "-o", "json", "--detailed-exitcode"))
    assert result["check"]
    assert result["changes"] == []


def test_one_changed_variable_restarts_only_its_app(fleet: Lab) -> None:
    before = {(host.name, port): health(host, port)["pid"] for host in fleet.hosts for port in PORTS}
    result = apply(fleet, "-e", "llama_context=8192")
    assert {task.partition(" : ")[0] for _, task in changed(result)} == {"llama-inference"}
    for host in fleet.hosts:
        assert health(host, 8080)["configuration"]["context"] == 8192
        for port in PORTS:
            assert (health(host, port)["pid"] == before[host.name, port]) == (port != 8080)
    assert changed(apply(fleet, "-e", "llama_context=8192")) == set()


def test_an_environment_is_changed_and_rolled_back(fleet: Lab, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("playbooks", "roles"):
        shutil.copytree(PROJECT / name, project / name)
    host = fleet.host("gpu-01")
    link = host.root / "opt/conda/envs/llama-torch20-cu118"
    file = project / "roles/llama-inference/environment.yml"
    old, text = str(link.readlink()), file.read_text()
    shutil.copytree(fleet.inventory.parent / "locks", tmp_path / "locks")
    file.write_text(text.replace("dependencies:\n", "dependencies:\n  - idna=3.6\n"))
    argv = ("-l", "gpu-01", "-e", "llama_context=8192")
    refused = subprocess.run(
        command(fleet, "apply", PLAYBOOK, "-y", *argv), cwd=project, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert "the lock of `llama-torch20-cu118` is stale" in refused.stderr
    provision(fleet, "lock", str(file.relative_to(project)), project=project)
    apply(fleet, *argv, project=project)
    new = str(link.readlink())
    assert new != old
    assert health(host, 8080)["prefix"].endswith(new)
    provision(fleet, "rollback", "llama-torch20-cu118", "-y", "--hosts", "gpu-01")
    assert str(link.readlink()) == old
    assert health(host, 8080)["prefix"].endswith(old)
    held = apply(fleet, *argv, project=project, code=2)
    assert "--forward" in json.dumps(held["failures"])
    assert str(link.readlink()) == old
    apply(fleet, *argv, "--forward", project=project)
    assert str(link.readlink()) == new
    for path in (tmp_path / "locks").iterdir():
        shutil.copy(path, fleet.inventory.parent / "locks" / path.name)


def test_no_second_cuda_and_no_env_shebang(fleet: Lab) -> None:
    for path in (fleet.inventory.parent / "locks").glob("pylock.*.toml"):
        text = path.read_text()
        assert 'name = "nvidia-' not in text
        assert 'name = "torch"' not in text
        assert 'name = "triton"' not in text
    for host in fleet.hosts:
        for name in ENVIRONMENTS:
            scripts = host.run(["sh", "-c", f"grep -lI '^#!.*/env ' /opt/conda/envs/{name}/bin/* || true"]).stdout
            assert scripts == ""


def test_an_unreachable_host_costs_only_its_row(fleet: Lab) -> None:
    fleet.host("gpu-02").cut()
    try:
        begun = time.monotonic()
        result = apply(fleet, "-T", "3", "-e", "llama_context=4096", code=4)
    finally:
        fleet.host("gpu-02").mend()
    assert result["hosts"]["gpu-02"]["unreachable"] is True
    assert result["hosts"]["gpu-02"]["failed"] == 0
    assert {host for host, _ in changed(result)} == {"gpu-01", "gpu-03"}
    assert time.monotonic() - begun < 60


def test_an_old_driver_is_refused_with_the_numbers(fleet: Lab) -> None:
    host = fleet.host("gpu-03")
    usual = host.gpus()
    try:
        host.set_gpus(usual.with_driver("440.33.01", "10.2"))
        refused = provision(fleet, "plan", PLAYBOOK, "-l", "gpu-03", "--skip-tags", "nvidia", code=2)
        assert "440.33.01" in refused
        assert "450.80.02" in refused
        host.set_gpus(usual.with_driver("470.256.02", "11.4"))
        provision(fleet, "plan", PLAYBOOK, "-l", "gpu-03")
    finally:
        host.set_gpus(usual)


def test_ctrl_c_leaves_nothing_half_made(bare: Lab) -> None:
    (host,) = bare.hosts
    running = subprocess.Popen(
        command(bare, "apply", PLAYBOOK, "-y"), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    generations = host.root / "opt/conda/envs/.generations"
    deadline = time.monotonic() + 60
    while not (generations.is_dir() and any(generations.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert running.wait(timeout=30) == 130
    assert time.monotonic() - begun < 3
    whole(host)
    assert apply(bare)["ok"]
    serving(bare)
    assert apply(bare)["changes"] == []


@pytest.mark.parametrize("number", range(int(os.environ.get("PROVISION_KILLS", "1"))))
def test_kill_9_of_the_control_process_is_mended_by_the_next_run(bare: Lab, number: int) -> None:
    (host,) = bare.hosts
    wait = random.Random(SEED + number).uniform(1.0, 12.0)
    running = subprocess.Popen(
        command(bare, "apply", PLAYBOOK, "-y"), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + wait
    while time.monotonic() < end and running.poll() is None:
        assert all((host.root / "opt/conda/envs" / name).is_symlink() for name in visible(host))
        time.sleep(0.05)
    running.kill()
    running.wait(timeout=10)
    whole(host)
    assert apply(bare)["ok"]
    serving(bare)
    assert apply(bare)["changes"] == []
