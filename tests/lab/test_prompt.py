"""The prompt shows the environment that a shell uses: in login shells and others, and in shells below them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

ROLES = Path(__file__).parents[2] / "roles"
PLAY = """
- hosts: gpu-02
  roles: [conda]
  tasks:
    - {name: folders, file: {path: "/opt/conda/envs/{{ item }}/bin", state: directory}, loop: [one, two]}
    - name: pythons
      copy: {content: "", dest: "/opt/conda/envs/{{ item }}/bin/python", mode: "0755"}
      loop: [one, two]
"""


@pytest.fixture(scope="module")
def host(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = tmp_path_factory.mktemp("play")
    (folder / "play.yaml").write_text(PLAY)
    (folder / "roles").symlink_to(ROLES)
    words = ["apply", str(folder / "play.yaml"), "-i", str(lab.inventory), "-y"]
    for changed in (True, False):
        done = subprocess.run([sys.executable, "-m", "provision", *words], capture_output=True, text=True, cwd=folder)
        assert (done.returncode, "changed 0" not in done.stdout) == (0, changed), done.stdout + done.stderr
    return lab.host("gpu-02")


@pytest.mark.parametrize("kind", [["-i"], ["-i", "-l"]])
def test_the_prompt_shows_the_environment(host: Host, kind: list[str]) -> None:
    text = """
        shown() { echo "shown: ${PS1@P} python: $(command -v python)"; }
        use one; shown
        use two; shown
        bash -i -c 'echo "below: ${PS1@P}"; unuse; echo "left: ${PS1@P} $(command -v ls)"'
        unuse; shown
        use three
    """
    done = host.run(["bash", *kind], stdin=text, environment={"TERM": "dumb"}, check=False)
    said = [line for line in done.stdout.splitlines() if line.partition(":")[0] in ("shown", "below", "left")]
    assert [line.split("root@")[0].split(": ", 1)[1] for line in said] == ["(one) ", "(two) ", "(two) ", "", ""]
    assert [line.split("python: ")[1] for line in said if "python: " in line] == [
        "/opt/conda/envs/one/bin/python",
        "/opt/conda/envs/two/bin/python",
        "",
    ]
    assert said[3].endswith("/ls")
    assert "use: there is no environment three in /opt/conda/envs" in done.stderr
