"""Environments on hosts that are not like this machine: Debian 11 with Python 3.9, and one where rattler cannot run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import provision.lab
from provision.lab import rootfs
from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.lab.packages import Entry, Package, write
from provision.lab.packages_index import index

pytestmark = pytest.mark.lab

CHANNEL = "https://conda.example.org/bullseye"
ROLES = Path(__file__).resolve().parents[2] / "roles"
LIBRARY = "lib/python3.9"
SITE_PACKAGES = b"""import os, site, sys
site.addsitedir(os.path.join(sys.prefix, "lib/python3.9/site-packages"))
"""
NAMES = {"bullseye-01": "tools-py39", "plain-01": "tools-py311"}
FILES = {
    "tools-py39": f"name: tools-py39\nchannels: [{CHANNEL}, conda-forge]\ndependencies: [python=3.9, idna]\n",
    "tools-py311": "name: tools-py311\nchannels: [conda-forge, nodefaults]\ndependencies: [python=3.11, idna=3.6]\n",
}


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    own = Lab(f"test-{os.getpid()}-old")
    try:
        own.up({"bullseye": 1, "plain": 1})
        yield own
    finally:
        own.down()


@pytest.fixture(scope="module")
def project(mixed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A playbook with one environment a host, and an inventory that knows the channel of Debian 11's Python."""
    folder = tmp_path_factory.mktemp("project")
    channel = mixed.state.www / "conda" / "bullseye"
    for subdir in ("linux-64", "noarch"):
        (channel / subdir).mkdir(parents=True)
    write(python39(rootfs.directory("bullseye")), channel)
    index([channel])
    inventory = yaml.safe_load(mixed.inventory.read_text())
    variables = inventory["all"]["vars"]
    mirror = next(iter(variables["channel_mirrors"].values())).rpartition("/")[0]
    variables["channel_mirrors"][CHANNEL] = f"{mirror}/bullseye"
    variables["system_floor"] = {"glibc": "2.31"}
    variables["locks_directory"] = "locks"
    shutil.copy(mixed.state.known_hosts, folder)
    (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    plays = []
    for host, name in NAMES.items():
        (folder / f"{name}.yml").write_text(FILES[name])
        plays.append({"hosts": host, "environments": [{"file": f"{name}.yml"}]})
    (folder / "play.yaml").write_text(yaml.safe_dump(plays))
    return folder


def python39(root: Path) -> Package:
    """Debian 11's own Python 3.9; the libraries that it links stay the host's."""
    top, entries = root / "usr" / LIBRARY, [Entry("bin/python3.9", (root / "usr/bin/python3.9").read_bytes(), 0o755)]
    for path in sorted(top.rglob("*")):
        inside = path.relative_to(top)
        if path.is_file() and not path.is_symlink() and "__pycache__" not in inside.parts:
            entries.append(Entry(f"{LIBRARY}/{inside}", path.read_bytes()))
    entries = [entry for entry in entries if entry.path != f"{LIBRARY}/sitecustomize.py"]
    entries += [Entry(f"bin/{name}", target="python3.9") for name in ("python", "python3")]
    entries.append(Entry(f"{LIBRARY}/sitecustomize.py", SITE_PACKAGES))
    entries.append(Entry(f"{LIBRARY}/site-packages/README.txt", b"Packages are here.\n"))
    return Package("python", "3.9.2", "debian_cpython", ["__glibc >=2.31"], license="Python-2.0", entries=entries)


def apply(project: Path, host: str, *, code: int = 0) -> dict[str, Any]:
    argv = [sys.executable, "-m", "provision", "apply", "play.yaml", "-y", "-o", "json", "-l", host]
    done = subprocess.run(
        [*argv, "-i", "inventory.yaml"], cwd=project, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def prints(host: Host, *argv: str) -> str:
    return host.run([*argv]).stdout.strip()


def test_an_environment_is_built_by_python_39(mixed: Lab, project: Path) -> None:
    host = mixed.host("bullseye-01")
    assert prints(host, "python3", "-c", "import sys; print(sys.version_info[:2])") == "(3, 9)"
    assert apply(project, host.name)["changes"]
    python = "/opt/conda/envs/tools-py39/bin/python"
    assert prints(host, python, "-c", "import idna; print(idna.__file__)") == (
        "/opt/conda/envs/tools-py39/lib/python3.9/site-packages/idna/__init__.py"
    )
    again = apply(project, host.name)
    assert (again["changes"], again["notices"]) == ([], [])


def test_what_somebody_adds_is_told_and_a_removed_file_is_put_back(mixed: Lab, project: Path) -> None:
    host = mixed.host("bullseye-01")
    folder = f"{host_path(host, 'tools-py39')}/lib/python3.9/site-packages"
    host.run(["touch", f"{folder}/loose.pyc"])
    told = apply(project, host.name)
    assert told["changes"] == []
    assert [(note["host"], note["kind"]) for note in told["notices"]] == [(host.name, "warning")]
    assert "`lib/python3.9/site-packages/loose.pyc`" in told["notices"][0]["text"]
    host.run(["rm", f"{folder}/idna/core.py"])
    assert apply(project, host.name)["changes"]
    assert host_path(host, "tools-py39").endswith("-2")
    assert apply(project, host.name)["changes"] == []


def test_a_python_for_a_newer_glibc_is_refused_with_the_numbers(mixed: Lab, project: Path) -> None:
    (project / "play.yaml").write_text(
        yaml.safe_dump([{"hosts": "bullseye-01", "environments": [{"file": "tools-py311.yml"}]}])
    )
    failed = json.dumps(apply(project, "bullseye-01", code=2)["failures"])
    assert "the python of environment `tools-py311` needs glibc 2.36" in failed
    assert "this host has 2.31" in failed


def test_base_holds_a_lock_frozen_and_apart(mixed: Lab, project: Path) -> None:
    host = mixed.host("plain-01")
    (project / "roles").symlink_to(ROLES)
    play = {"hosts": "plain-01", "vars": {"conda_base_environment": "tools-py311.yml"}, "roles": ["conda"]}
    (project / "play.yaml").write_text(yaml.safe_dump([play]))
    assert apply(project, host.name)["changes"]
    assert apply(project, host.name)["changes"] == []
    base = "/opt/conda/envs/conda-base"
    assert prints(host, f"{base}/bin/python", "-c", "import sys; print(sys.prefix)") == base
    assert "managed by provision" in prints(host, "cat", f"{base}/lib/python3.11/EXTERNALLY-MANAGED")
    assert prints(host, "readlink", "/opt/conda/condabin") == "envs/conda-base/condabin"


def test_micromamba_installs_where_rattler_cannot_be_loaded(mixed: Lab, project: Path) -> None:
    """The folder of tools is on a file system that runs nothing; the lab's stand-in for micromamba is elsewhere."""
    host = mixed.host("plain-01")
    (project / "play.yaml").write_text(
        yaml.safe_dump([{"hosts": "plain-01", "environments": [{"file": "tools-py311.yml"}]}])
    )
    host.run(["mkdir", "-p", "/var/lib/provision/tools"])
    host.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=0755", "tmpfs", "/var/lib/provision/tools"])
    failures = apply(project, host.name, code=2)["failures"]
    assert "nothing on this host can install environment `tools-py311`" in json.dumps(failures)
    assert "failed to map segment" in json.dumps(failures)
    place = host.root / "opt/stand-in"
    shutil.copytree(rattler(), place / "lib" / "rattler", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(provision.lab.__file__).with_name("micromamba.py"), place / "micromamba")
    (place / "micromamba").chmod(0o755)
    host.run(["ln", "-s", "/opt/stand-in/micromamba", "/usr/local/bin/micromamba"])
    built = apply(project, host.name)
    assert built["changes"]
    (note,) = built["notices"]
    assert (note["host"], note["kind"]) == (host.name, "notice")
    assert note["text"].startswith("installed by micromamba 0 (a stand-in of provision's lab)")
    assert prints(host, "/opt/conda/envs/tools-py311/bin/python", "-c", "import idna; print(idna.__version__)") == "3.6"
    assert apply(project, host.name)["changes"] == []


def host_path(host: Host, name: str) -> str:
    return prints(host, "readlink", "-f", f"/opt/conda/envs/{name}")


def rattler() -> Path:
    found = find_spec("rattler")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent
