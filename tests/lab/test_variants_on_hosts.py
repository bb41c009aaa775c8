"""One play over hosts of different (simulated) GPUs: each gets its variant; and its environments as files.

The hosts are this module's own; its tests follow one another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from provision.conda.environment import read
from provision.lab.fleet import Lab
from provision.lab.gpus import MODELS, Gpus, Model

pytestmark = pytest.mark.lab

SCHEMA = json.loads((Path(__file__).parents[1] / "unit" / "conda" / "environment_schema.json").read_text())
A100 = MODELS[0]
B200 = Model("NVIDIA B200", 183359, "10.0")
FILES = {
    "cu118.yml": "name: tool-cu118\nchannels: [nvidia, conda-forge, nodefaults]\n"
    "dependencies: [python=3.11, cuda-version=11.8]\n",
    "blackwell.yml": "name: tool-blackwell\nchannels: [conda-forge, nodefaults]\ndependencies: [python=3.11]\n"
    "variables: {STACK: blackwell}\n",
    "play.yaml": """\
- hosts: gpu
  become: true
  environments:
    - name: tool
      variants:
        - file: cu118.yml
          when_gpu: {compute_capability: "<10.0"}
        - file: blackwell.yml
          when_gpu: {compute_capability: ">=10.0"}
  tasks:
    - name: A page is there
      file: {path: /srv/page, state: directory}
  post_tasks:
    - name: The page is served
      app:
        name: page
        environment: tool
        directory: /srv/page
        command: [python, -m, http.server, "8099"]
        port: 8099
        health: {path: /}
""",
}


def simulated(*models: Model, driver: str = "570.26") -> Gpus:
    return Gpus([(f"GPU-{number}", model) for number, model in enumerate(models)], driver, "12.8")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    own = Lab(f"test-{os.getpid()}-variants")
    try:
        own.up({"gpu": 2})
        for host, model in zip(own.hosts, (A100, B200), strict=True):
            host.set_gpus(simulated(model))
        yield own
    finally:
        own.down()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def provision(lab: Lab, project: Path, *argv: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "provision", *argv, "-i", str(lab.inventory)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if code else "")


def test_each_host_gets_the_variant_for_its_gpus_under_one_name(fleet: Lab, project: Path) -> None:
    locked = provision(fleet, project, "lock", "play.yaml")
    assert [line.split(":")[0] for line in locked.splitlines() if not line.startswith(" ")] == [
        "tool-cu118",
        "tool-blackwell",
    ]
    result = json.loads(provision(fleet, project, "apply", "play.yaml", "-y", "-o", "json"))
    assert result["simulated"]
    for host, packages in zip(fleet.hosts, (True, False), strict=True):
        prefix = (host.root / "opt/conda/envs/tool").resolve()
        assert prefix.parent.name == "tool"
        assert any((prefix / "conda-meta").glob("cuda-version-11.8-*")) is packages
        unit = (host.root / "etc/systemd/system/page.service").read_text()
        assert "/envs/.generations/tool/" in unit
        assert ("STACK=blackwell" in unit) is not packages
    again = json.loads(provision(fleet, project, "apply", "play.yaml", "-y", "-o", "json"))
    assert again["changes"] == []


def test_gpus_of_two_kinds_get_what_runs_on_both_or_are_refused_with_numbers(fleet: Lab, project: Path) -> None:
    host = fleet.hosts[0]
    try:
        host.set_gpus(simulated(A100, B200))
        said = provision(fleet, project, "plan", "play.yaml", "-l", host.name)
        assert "cuda-version 11.8" in said
        held = {name: (project / name).read_text() for name in ("blackwell.yml", "play.yaml")}
        (project / "blackwell.yml").write_text(FILES["cu118.yml"].replace("tool-cu118", "tool-other"))
        sooner = provision(fleet, project, "plan", "play.yaml", "-l", host.name, code=1)
        assert "rule cuda-capability" in sooner
        by_memory = held["play.yaml"].replace('compute_capability: ">=10.0"', 'memory_mb: ">=100000"')
        (project / "play.yaml").write_text(by_memory)
        refused = " ".join(provision(fleet, project, "plan", "play.yaml", "-l", host.name, code=2).split())
        assert "CUDA 11.8 has code for 3.5 to 9.0, not for GPU 1 NVIDIA B200 (10.0)" in refused
        assert "(simulated)" in refused
        for name, text in held.items():
            (project / name).write_text(text)
    finally:
        host.set_gpus(simulated(A100))


def test_what_if_judges_by_what_the_hosts_were(fleet: Lab, project: Path) -> None:
    provision(fleet, project, "facts")
    said = provision(fleet, project, "what-if", "--gpu", "B200", "--playbook", "play.yaml")
    assert f"tool runs on {fleet.hosts[0].name}, with blackwell.yml in the place of cu118.yml" in said
    assert "simulated" in said
    old = provision(fleet, project, "what-if", "--driver", "440.33", "--playbook", "play.yaml", code=2)
    assert "CUDA 11.8 needs driver 450.80.02 or newer, not 440.33" in old


def test_an_environment_of_a_host_as_a_standard_file(fleet: Lab, project: Path) -> None:
    one, other = (host.name for host in fleet.hosts)
    text = provision(fleet, project, "env", "export", one, "tool")
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    (project / "exported.yml").write_text(text)
    found = read(project / "exported.yml")
    assert found.channels == ("nvidia", "conda-forge", "nodefaults")
    manifest = json.loads((fleet.inventory.parent / "locks" / "tool-cu118.lock.json").read_text())
    locked = {f"{package['name']}={package['version']}={package['build']}" for package in manifest["packages"]}
    assert {spec.text for spec in found.conda} == locked
    lines = provision(fleet, project, "env", "export", one, "tool", "--explicit").splitlines()
    assert lines[1] == "@EXPLICIT"
    assert set(lines[2:]) == {f"{package['url']}#{package['sha256']}" for package in manifest["packages"]}
    difference = provision(fleet, project, "env", "diff", one, other, "tool", code=2)
    assert f"- cuda-version 11.8 hcce14f8_3 (conda): only on {one}" in difference
    assert f"+ STACK blackwell (variable): only on {other}" in difference
    provision(fleet, project, "env", "import", "exported.yml", "--role", "tool")
    provision(fleet, project, "lock", "roles/tool")
    again = json.loads((fleet.inventory.parent / "locks" / "tool.lock.json").read_text())
    assert again["packages"] == manifest["packages"]


def test_an_environment_that_is_not_there(fleet: Lab, project: Path) -> None:
    said = provision(fleet, project, "env", "export", fleet.hosts[0].name, "tol", code=2)
    assert "there is no environment `tol`" in said
    assert "below `/opt/conda/envs` are: tool" in said
