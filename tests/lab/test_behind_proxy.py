"""A host and its control node behind a company's proxy: channel, index, git and apt over TLS of an own authority.

Nothing but the proxy knows the servers' name, and it asks who comes; the servers ask once more. Both passwords are in a
vault, and are looked for afterwards wherever they must not be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from company import NAME, Company

from provision.cache import cache_folder
from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.secret import vault

pytestmark = pytest.mark.lab

HOST = "gpu-02"
PACKAGE = "libnvidia-compute-535"
PREFIX = "/opt/conda/envs/behind-proxy"
MADE = [PREFIX, "/opt/conda/envs/.generations/behind-proxy", "/opt/behind-proxy", "/tmp/behind-proxy"]
MADE += ["/opt/company-release", "/var/lib/provision/ca"]
CHANNEL = "https://conda.anaconda.org/conda-forge"
ENVIRONMENT = """\
name: behind-proxy
channels: [conda-forge, nodefaults]
dependencies:
  - python=3.11
  - idna=3.6
  - pip:
    - six==1.16.0
"""
TASKS = """
- hosts: gpu-02
  gather_facts: false
  tasks:
    - apt_repository: {repo: "deb [trusted=yes] URL/apt ./", filename: company}
    - apt: {name: PACKAGE, cache_valid_time: 86400}
    - get_url: {url: URL/apt/Release, dest: /opt/company-release, mode: "0644"}
    - git: {repo: URL/git/img2video.git, dest: /opt/behind-proxy, version: main}
    - {name: as a user, git: {repo: URL/git/img2video.git, dest: /tmp/behind-proxy}, become: true, become_user: nobody}
    - conda_env: {file: environment.yml}
"""


class Project:
    """An inventory of one host in the company's network, and the commands that are run with it."""

    def __init__(self, folder: Path, lab: Lab, company: Company) -> None:
        self.folder, self.company = folder, company
        self.printed = b""
        tools = cache_folder() / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        (folder / "cache/provision").mkdir(parents=True)
        (folder / "cache/provision/tools").symlink_to(tools)  # they are packed once, and hold nothing of a company
        shutil.copy(lab.state.known_hosts, folder)
        shutil.copy(company.ca, folder / "ca.pem")
        (folder / "environment.yml").write_text(ENVIRONMENT)
        (folder / "play.yaml").write_text(TASKS.replace("URL", company.url).replace("PACKAGE", PACKAGE))
        (folder / "password").write_text("the password")
        inventory = yaml.safe_load(lab.inventory.read_text())
        inventory["all"]["vars"] |= self._variables()
        (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))
        (folder / "group_vars").mkdir()
        sealed = yaml.safe_dump({"to_proxy": company.to_proxy.password, "to_server": company.to_server.password})
        (folder / "group_vars/all.yml").write_text(vault.encrypt(sealed.encode(), b"the password"))

    def _variables(self) -> dict[str, Any]:
        url, address = self.company.url, self.company.proxy_open.partition("://")[2]
        proxy = f"http://{self.company.to_proxy.user}:{{{{ to_proxy }}}}@{address}"
        login = {"username": self.company.to_server.user, "password": "{{ to_server }}"}
        return {
            "http_proxy": proxy,
            "https_proxy": proxy,
            "ca_file": "ca.pem",
            "channel_mirrors": {CHANNEL: f"{url}/conda/conda-forge"},
            "index_mirrors": {"https://pypi.org/simple": f"{url}/simple"},
            "channel_credentials": {f"{url}/conda": login},
            "index_credentials": {f"{url}/simple": login},
            "git_credentials": {f"{url}/git": login},
        }

    def __call__(self, *words: str, code: int = 0, **environment: str) -> str:
        argv = [sys.executable, "-m", "provision", *words, "-i", "inventory.yaml"]
        done = subprocess.run(
            [*argv, "--vault-password-file", "password"],
            cwd=self.folder,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        self.printed += done.stdout + done.stderr
        assert done.returncode == code, f"{done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode() + done.stderr.decode()

    def apply(self, *words: str, code: int = 0) -> dict[str, Any]:
        text = self("apply", "play.yaml", "-y", "-o", "json", *words, code=code)
        found: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
        return found


class Arguments:
    """The arguments of all processes of this machine, which those of its hosts are, until it is closed."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.03):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    pass

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """A host whose packages come from the company alone; as it was, afterwards."""
    found = lab.host(HOST)
    found.run(["sh", "-c", "cd /etc/apt && mkdir aside && mv sources.list* aside && mkdir sources.list.d"])
    try:
        yield found
    finally:
        found.run(["apt-get", "purge", "--yes", "--quiet", PACKAGE], check=False)
        found.run(["sh", "-c", "cd /etc/apt && rm -r sources.list* && mv aside/* . && rmdir aside"])
        found.run(["rm", "-rf", *MADE])


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    subprocess.run(["bash", str(Path(__file__).parents[1] / "prerequisites.sh"), "tinyproxy"], check=True, timeout=120)
    (tmp_path / "company").mkdir()
    (tmp_path / "project").mkdir()
    company = Company(tmp_path / "company", lab.state.www, lab.record.gateway)
    try:
        yield Project(tmp_path / "project", lab, company)
    finally:
        company.close()


def forms(company: Company) -> list[bytes]:
    """Both passwords, as they are and as basic authentication sends them."""
    texts = [*company.secrets, *(login.basic.partition(" ")[2] for login in (company.to_proxy, company.to_server))]
    return [text.encode() for text in texts]


def left_on(host: Host, wanted: list[bytes]) -> str:
    script = "grep -rlaF -f - /opt /var /etc /root /tmp /run /dev/shm 2>/dev/null"
    found = host.run(["bash", "-c", script], stdin=b"\n".join(wanted).decode(), check=False).stdout
    journal = ["bash", "-c", "journalctl --no-pager -o export | grep -aF -f - | head -c 2000"]
    return found + host.run(journal, stdin=b"\n".join(wanted).decode(), check=False).stdout


def test_everything_comes_through_the_proxy(host: Host, project: Project) -> None:
    company, arguments = project.company, Arguments()
    try:
        project("lock", "environment.yml")
        assert company.connects(), "the channel was read through the proxy"
        first = project.apply()
        assert len(first["changes"]) == 7
        asked = len(company.asked)
        assert project.apply()["changes"] == []
        assert all(path.startswith("/git/") or path == "/apt/Release" for path in company.asked[asked:])
        project("plan", "play.yaml", "-o", "saved.plan")
        refusals(project)
    finally:
        arguments.close()
    python = [f"{PREFIX}/bin/python", "-c", "import idna, six; print(idna.__version__, six.__version__)"]
    assert host.run(python).stdout == "3.6 1.16.0\n"
    config = host.run(["cat", "/opt/behind-proxy/.git/config"]).stdout
    assert f"url = {company.url}/git/img2video.git\n" in config
    assert "xtra" not in config and "@" not in config
    assert any(path.startswith("/apt/") and path.endswith(".deb") for path in company.asked)
    assert NAME not in "".join(path.read_text() for path in (project.folder / "locks").iterdir())
    nowhere(host, project, arguments)


def refusals(project: Project) -> None:
    """What is said where a variable lacks, once for what each one is for."""
    company = project.company
    fresh = ("-e", json.dumps({"http_proxy": None, "https_proxy": None}))
    assert "`http_proxy` and `https_proxy`" in failure(project, *fresh)
    assert "the proxy refuses" in failure(project, "-e", f"https_proxy={company.proxy_open}")
    assert "`ca_file`" in failure(project, "-e", json.dumps({"ca_file": None}))
    assert "`git_credentials`" in failure(project, "-e", json.dumps({"git_credentials": {}}))
    wrong = {f"{company.url}/git": {"username": "x", "password": "not this"}}
    assert "is refused for it" in failure(project, "-e", json.dumps({"git_credentials": wrong}))
    for name in ("repodata", "uv"):
        shutil.rmtree(project.folder / "cache/provision" / name)
    shutil.rmtree(project.folder / "locks")
    said = project("lock", "environment.yml", "-e", json.dumps({"channel_credentials": {}}), code=1)
    assert "cannot read the channels" in said and f"{company.url}/conda" in said
    assert "`channel_credentials`" in said
    said = project("lock", "environment.yml", "-e", json.dumps({"index_credentials": {}}), code=1)
    assert "cannot resolve the pip part" in said and f"{company.url}/simple" in said
    assert "`index_credentials`" in said
    netrc, login = company.folder / "netrc", company.to_server
    netrc.write_text(f"machine {NAME} login {login.user} password {login.password}\n")
    none = json.dumps({"channel_credentials": {}, "index_credentials": {}})
    project("lock", "environment.yml", "-e", none, NETRC=str(netrc))


def failure(project: Project, *words: str) -> str:
    """What is said where the repository cannot be asked."""
    (project.folder / "git.yaml").write_text(
        f"- hosts: {HOST}\n  gather_facts: false\n  tasks:\n"
        f"    - git: {{repo: {project.company.url}/git/img2video.git, dest: /opt/behind-proxy, version: main}}\n"
    )
    said = project("apply", "git.yaml", "-y", *words, code=2)
    assert f"cannot read the repository `{project.company.url}/git/img2video.git`" in said
    return said


def nowhere(host: Host, project: Project, arguments: Arguments) -> None:
    wanted = forms(project.company)
    assert any(b"git\0ls-remote" in text for text in arguments.seen), "the search itself finds"
    assert not [text for text in arguments.seen if any(form in text for form in wanted)]
    assert not [form for form in wanted if form in project.printed], project.printed.decode()
    files = [path for path in project.folder.rglob("*") if path.is_file() and "tools" not in path.parts]
    assert {"history.db", "saved.plan"} <= {path.name for path in files}
    assert not [path for path in files if any(form in path.read_bytes() for form in wanted)]
    assert left_on(host, wanted) == ""
    host.run(["sh", "-c", "cat > /opt/company-release"], stdin=wanted[0].decode())
    assert left_on(host, wanted) == "/opt/company-release\n", "the search itself finds"
