"""`provision verify` on real hosts: a healthy fleet stays untouched, and each thing that is broken is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.verify.document import schema
from provision.verify.ladder import NOT_REACHED, RUNGS

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAY = """
- name: One app
  hosts: gpu
  become: true
  vars: {img2video_start_timeout: 20}
  roles: [nvidia, conda, shared-data, img2video]
"""
STARTED = "test $(ps -o etimes= -p $(systemctl show -p MainPID --value img2video)) -gt 20"
EXPECTED = 'gpus: {count: 4, kind: "A"}'
ENVIRONMENT = "img2video-torch20-cu118"
FOUND = ("failed", "warning")


class Fleet:
    """Two hosts with one app, and the project that made them so."""

    def __init__(self, lab: Lab, project: Path) -> None:
        self.lab, self.project = lab, project
        self.good, self.broken = lab.hosts

    def provision(self, *argv: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "provision", argv[0], "-i", str(self.lab.inventory), *argv[1:]]
        done = subprocess.run(
            command, cwd=self.project, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def verify(self, *argv: str, code: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.provision("verify", "-o", "json", "-e", "{" + EXPECTED + "}", *argv, code=code)
        )
        jsonschema.validate(told, schema())
        return told


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "roles", project / "roles")
    (project / "playbooks").mkdir()
    (project / "playbooks/one-app.yaml").write_text(PLAY)
    lab = Lab(f"test-{os.getpid()}-verify")
    try:
        lab.up({"gpu": 2})
        own = Fleet(lab, project)
        own.provision("apply", "playbooks/one-app.yaml", "-y")
        for host in lab.hosts:
            # an agent that is new on a host is kept compiled after its run's end
            host.run(
                ["timeout", "30", "sh", "-c", "until ls /var/lib/provision/agent/*.cpython-*[0-9]; do sleep 0.2; done"]
            )
        yield own
    finally:
        lab.down()


def findings(told: dict[str, Any], host: Host, *statuses: str) -> list[dict[str, Any]]:
    return [each for each in told["hosts"][host.name]["findings"] if each["status"] in (statuses or FOUND)]


def everything(host: Host) -> set[str]:
    """Every file and link of a host with its times and size; ctime tells of any write, whatever was put back."""
    away = [word for path in ("/dev", "/proc", "/run", "/sys", "/var/log") for word in ("-o", "-path", path)][1:]
    argv = ["find", "/", "/data", "-xdev", "(", *away, ")", "-prune", "-o", "-not", "-type", "d"]
    return set(host.run([*argv, "-printf", "%p %s %T@ %C@\\n"]).stdout.splitlines())


@pytest.mark.parametrize("options", [(), ("--deep",)])
def test_a_healthy_fleet_has_no_finding_and_is_left_untouched(fleet: Fleet, options: tuple[str, ...]) -> None:
    before = [everything(host) for host in fleet.lab.hosts]
    told = fleet.verify(*options)
    after = [everything(host) for host in fleet.lab.hosts]
    assert told["ok"] and told["simulated"]
    for host in fleet.lab.hosts:
        assert findings(told, host) == []
        assert {told["hosts"][host.name]["rungs"][rung] for rung in RUNGS} <= {"ok", "skipped"}
    assert [old ^ new for old, new in zip(before, after, strict=True)] == [set(), set()]


def test_facts_are_kept_beside_the_inventory(fleet: Fleet) -> None:
    fleet.verify()
    for host in fleet.lab.hosts:
        path = fleet.lab.inventory.parent / ".provision/facts" / f"{host.name}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        kept = json.loads(path.read_text())
        assert (kept["host"], kept["facts"]["hostname"]) == (host.name, host.name)


def prefix(host: Host) -> Path:
    return (host.root / "opt/conda/envs" / ENVIRONMENT).resolve()


def edit_a_file(host: Host) -> Callable[[], None]:
    (path,) = prefix(host).glob("lib/python3*/site-packages/torch/version.py")
    text = path.read_text()
    inode = path.with_name("aside")
    inode.write_text(text + "# edited\n")
    inode.replace(path)

    def back() -> None:
        # a link to the package cache was replaced: only building again makes it what it was
        path.unlink()

    return back


def shadow(host: Host) -> Callable[[], None]:
    (site,) = prefix(host).glob("lib/python3*/site-packages")
    own = host.root / "root/.local/lib" / site.parent.name / "site-packages/torch"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("")
    return lambda: shutil.rmtree(host.root / "root/.local")


def replace_the_link(host: Host) -> Callable[[], None]:
    link = host.root / "root/Image-to-Video/assets"
    target = link.readlink()
    link.unlink()
    link.mkdir()

    def back() -> None:
        link.rmdir()
        link.symlink_to(target)

    return back


def edit_configuration(host: Host) -> Callable[[], None]:
    path = host.root / "etc/img2video/config.json"
    text = path.read_text()
    path.write_text("{}\n")
    return lambda: void(path.write_text(text))


def void(_: object) -> None:
    """For what gives something that nobody wants."""


def stop_the_unit(host: Host) -> Callable[[], None]:
    host.run(["systemctl", "stop", "img2video"])
    return lambda: start_the_unit(host)


def start_the_unit(host: Host) -> None:
    host.run(["systemctl", "start", "img2video"])
    waiting = "until curl -fs -o /dev/null http://127.0.0.1:7860/health || python3 -c "
    asking = "'import urllib.request as u; u.urlopen(\"http://127.0.0.1:7860/health\")' 2>/dev/null; do sleep 0.1; done"
    host.run(["timeout", "30", "sh", "-c", waiting + asking])


def take_the_port(host: Host) -> Callable[[], None]:
    host.run(["systemctl", "stop", "img2video"])
    host.run(["systemd-run", "--unit=intruder", "python3", "-m", "http.server", "7860"])

    def back() -> None:
        host.run(["systemctl", "stop", "intruder"])
        start_the_unit(host)

    return back


def freeze(host: Host) -> Callable[[], None]:
    # until its `start_timeout` is over an app only starts
    host.run(["timeout", "30", "sh", "-c", f"until {STARTED}; do sleep 0.5; done"])
    host.run(["systemctl", "kill", "--signal=STOP", "img2video"])
    return lambda: void(host.run(["systemctl", "kill", "--signal=CONT", "img2video"]))


def old_driver(host: Host) -> Callable[[], None]:
    usual = host.gpus()
    host.set_gpus(usual.with_driver("440.33.01", "10.2"))
    return lambda: host.set_gpus(usual)


def lose_a_gpu(host: Host) -> Callable[[], None]:
    from dataclasses import replace

    usual = host.gpus()
    host.set_gpus(replace(usual, devices=usual.devices[:3]))
    return lambda: host.set_gpus(usual)


BREAKAGES = [
    (old_driver, "driver", "driver.floor", ENVIRONMENT),
    (lose_a_gpu, "driver", "driver.count", ""),
    (shadow, "environments", "environments.user_packages", "root"),
    (replace_the_link, "shared_data", "shared_data.link", "/root/Image-to-Video/assets"),
    (edit_configuration, "configuration", "configuration.file", "/etc/img2video/config.json"),
    (freeze, "apps", "apps.health", "img2video"),
    (stop_the_unit, "apps", "apps.state", "img2video"),
    (take_the_port, "apps", "apps.port", "img2video"),
    (edit_a_file, "environments", "environments.files", ENVIRONMENT),
]
"""What is broken, and the rung, check and subject that name it; the last is mended by `apply` only."""


@pytest.mark.parametrize(
    ("breaks", "rung", "check", "subject"), BREAKAGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_is_broken_is_named_on_its_host_alone(
    fleet: Fleet, breaks: Callable[[Host], Callable[[], None]], rung: str, check: str, subject: str
) -> None:
    back = breaks(fleet.broken)
    try:
        told = fleet.verify(code=2)
    finally:
        back()
    host = told["hosts"][fleet.broken.name]
    assert host["broken"] == rung, host["findings"]
    failed = {(each["check"], each["subject"]) for each in findings(told, fleet.broken, "failed")}
    assert (check, subject) in failed
    assert all(each["mend"] for each in findings(told, fleet.broken, "failed"))
    assert {host["rungs"][above] for above in RUNGS[RUNGS.index(rung) + 1 :]} <= {NOT_REACHED}
    assert findings(told, fleet.good) == []
    assert told["hosts"][fleet.good.name]["broken"] is None


def test_the_mend_mends(fleet: Fleet) -> None:
    told = fleet.verify(code=2)
    (mend,) = {each["mend"] for each in findings(told, fleet.broken, "failed")}
    words = mend.split()
    assert words[:3] == ["provision", "apply", "playbooks/one-app.yaml"]
    assert words[-2:] == ["-l", fleet.broken.name]
    fleet.provision("apply", words[2], "-l", fleet.broken.name, "-y")
    assert findings(fleet.verify(), fleet.broken) == []


def test_watch_tells_what_changed_and_ctrl_c_ends_it_with_the_last_code(fleet: Fleet, tmp_path: Path) -> None:
    files = ["--metrics", str(tmp_path / "fleet.prom"), "--html", str(tmp_path / "fleet.html")]
    command = [sys.executable, "-m", "provision", "verify", "-i", str(fleet.lab.inventory), "--watch", "1s", *files]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=fleet.project, **options) as watching:
        back: Callable[[], None] = bool
        try:
            assert watching.stdout
            first = next(line for line in watching.stdout if "2 hosts: " in line)
            back = stop_the_unit(fleet.broken)
            changed = [watching.stdout.readline() for _ in range(4)]
            watching.send_signal(signal.SIGINT)
            code, rest = watching.wait(20), watching.stdout.read()
        finally:
            watching.kill()
            back()
    assert "all true" in first
    assert [line for line in changed if line.startswith("  + apps img2video: it does not run")], changed
    assert (code, rest) == (2, "")
    assert f'host_ok{{host="{fleet.broken.name}"}} 0.0' in (tmp_path / "fleet.prom").read_text()
    assert "it does not run" in (tmp_path / "fleet.html").read_text()


def test_a_host_whose_sshd_is_down_is_unreachable_and_costs_only_its_row(fleet: Fleet) -> None:
    fleet.broken.run(["systemctl", "stop", "ssh.socket", "ssh.service"], check=False)
    try:
        told = fleet.verify("-T", "3", code=4)
    finally:
        fleet.broken.run(["systemctl", "start", "ssh.service"])
        fleet.broken.wait()
    host = told["hosts"][fleet.broken.name]
    assert (host["unreachable"], host["broken"]) == (True, "reachable")
    assert findings(told, fleet.good) == []


def test_what_no_play_names_is_an_orphan(fleet: Fleet) -> None:
    play = fleet.project / "playbooks/one-app.yaml"
    other = fleet.project / "playbooks/none.yaml"
    other.write_text(PLAY.replace(", img2video", ""))
    try:
        told = fleet.verify(str(other.relative_to(fleet.project)))
    finally:
        other.unlink()
    assert play.exists()
    orphans = {(each["check"], each["subject"]): each for each in findings(told, fleet.good, "warning")}
    assert {("environments.orphan", ENVIRONMENT), ("apps.orphan", "img2video"), ("configuration.orphan", "")} == {
        *orphans
    }
    assert all(each["since"] for each in orphans.values())
    assert "/root/Image-to-Video" in orphans["configuration.orphan", ""]["detail"]["paths"]
