"""`provision verify` on a fleet of real hosts: each thing that is broken by hand is named on its host alone, with what
mends it; a healthy fleet has no finding and stays untouched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import broken_by_hand as broken
import jsonschema
import pytest
from broken_by_hand import APP, ENVIRONMENT, SOURCE, Back

from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.verify.document import schema
from provision.verify.ladder import NOT_REACHED, RUNGS

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/gpu-cluster.yaml"
FOUND = ("failed", "warning")
MORE = f"""
all:
  children:
    gpu:
      vars:
        gpus: {{count: 8}}
        shared_data_filesystem: {{type: tmpfs, source: storage}}
        {APP}_start_timeout: 20
"""


class Fleet:
    """Eight hosts with three apps each and /data mounted, and the inventory that says so."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.hosts = lab, lab.hosts
        self.more = folder / "more.yaml"
        self.more.write_text(MORE)
        self.inventory = ["-i", str(lab.inventory), "-i", str(self.more)]

    def run(self, *words: str, code: int = 0) -> str:
        """A command as it stands, the inventories included."""
        argv = [sys.executable, "-m", "provision", *words]
        options: dict[str, Any] = {"cwd": PROJECT, "capture_output": True, "text": True, "timeout": 240}
        done: subprocess.CompletedProcess[str] = subprocess.run(argv, stdin=subprocess.DEVNULL, **options)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def apply(self, *words: str) -> None:
        self.run("apply", PLAYBOOK, *self.inventory, "-y", *words)

    def verify(self, *words: str, code: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.run("verify", PLAYBOOK, *self.inventory, "-o", "json", *words, code=code)
        )
        jsonschema.validate(told, schema())
        return told

    def each(self, act: Callable[[Host], object]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(act, self.hosts))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    lab = Lab(f"test-{os.getpid()}-verify")
    try:
        lab.up({"gpu": 8})
        own = Fleet(lab, tmp_path_factory.mktemp("inventory"))
        own.each(broken.gpus_of)
        own.each(lambda host: broken.shell(host, "umount /data"))
        own.each(broken.mount_data)
        own.apply()
        # an agent that is new on a host is kept compiled after its run's end
        compiled = "until ls /var/lib/provision/agent/*.cpython-*[0-9] >/dev/null; do sleep 0.2; done"
        own.each(lambda host: broken.shell(host, compiled))
        yield own
    finally:
        lab.down()


def findings(told: dict[str, Any], host: Host, *statuses: str) -> list[dict[str, Any]]:
    return [each for each in told["hosts"][host.name]["findings"] if each["status"] in (statuses or FOUND)]


def healthy(told: dict[str, Any], host: Host) -> None:
    """No finding at all, on every rung."""
    assert findings(told, host) == []
    seen = told["hosts"][host.name]
    assert (seen["broken"], seen["unreachable"]) == (None, False)
    assert set(seen["rungs"].values()) <= {"ok", "skipped"}
    assert seen["rungs"]["apps"] == seen["rungs"]["configuration"] == "ok"


@dataclass(frozen=True)
class Breakage:
    """What breaks a host, and the rung, check, subject and mend that name it.

    In the mend `APPLY` is the apply of this host, `ON` the options that name it.
    """

    act: Callable[[Host], Back]
    check: str
    subject: str
    mend: str

    @property
    def rung(self) -> str:
        return self.check.partition(".")[0]

    def named(self, told: dict[str, Any], host: Host, on: str) -> None:
        seen = told["hosts"][host.name]
        assert seen["broken"] == self.rung, seen["findings"]
        failed = {(each["check"], each["subject"]): each for each in findings(told, host, "failed")}
        assert (self.check, self.subject) in failed, failed
        mend = failed[self.check, self.subject]["mend"]
        assert mend == self.mend.replace("APPLY", f"provision apply {PLAYBOOK} {on}").replace("ON", on)
        assert all(each["mend"] for each in failed.values()), failed
        assert {seen["rungs"][above] for above in RUNGS[RUNGS.index(self.rung) + 1 :]} <= {NOT_REACHED}


SITE = "lib/python3.11/site-packages"
FIRST = {
    1: Breakage(broken.removed_package, "environments.packages", ENVIRONMENT, "APPLY"),
    2: Breakage(
        broken.pip_into_base,
        "environments.base",
        "/opt/conda",
        f"remove it from `/opt/conda/{SITE}`, where no python of base uses it; work in an environment of your own",
    ),
    3: Breakage(
        broken.torch_of_a_user,
        "environments.user_packages",
        "root",
        f"as `root`: `python -m pip uninstall ...`, or move `/root/.local/{SITE}` away",
    ),
    4: Breakage(
        broken.directory_for_link,
        "shared_data.link",
        f"{SOURCE}/assets",
        "move what is there into `/data/shared-assets`, then APPLY",
    ),
    5: Breakage(
        broken.full_data, "shared_data.free", "/data", "see what takes it: `sudo du -xh -d2 /data | sort -h | tail`"
    ),
    6: Breakage(
        broken.hanging_mount,
        "system.mount",
        "/mnt/hanging",
        "see its process; `sudo umount -l /mnt/hanging && sudo mount /mnt/hanging` once that answers",
    ),
    7: Breakage(
        broken.without_sshd,
        "reachable.connection",
        "",
        "is sshd running there, and is the port right (`ansible_port`)?",
    ),
}
SECOND = {
    1: Breakage(broken.unmounted_data, "system.mount", "/data", "`sudo mount /data`, and see that /etc/fstab has it"),
    2: Breakage(broken.stopped_unit, "apps.state", APP, f"`provision app start {APP} ON`"),
    3: Breakage(broken.taken_port, "apps.port", APP, f"stop that process, then `provision app restart {APP} ON`"),
    4: Breakage(broken.newer_configuration, "apps.digest", APP, "APPLY"),
    5: Breakage(
        broken.broken_app,
        "apps.health",
        APP,
        f"see `provision app logs {APP} ON`, then `provision app restart {APP} ON`",
    ),
    6: Breakage(
        broken.clock_ahead,
        "system.clock",
        "",
        "`sudo timedatectl set-ntp true`, and see `timedatectl timesync-status`",
    ),
    7: Breakage(
        broken.old_driver,
        "driver.floor",
        ENVIRONMENT,
        "upgrade the driver (role `nvidia`), or lock an environment for an older CUDA",
    ),
}
THIRD = {
    5: Breakage(broken.edited_file, "environments.files", ENVIRONMENT, "APPLY"),
    6: Breakage(broken.edited_configuration, "configuration.file", f"/etc/{APP}/config.json", "APPLY"),
    7: Breakage(broken.module_of_another_version, "driver.library", "", "reboot the host: `sudo systemctl reboot`"),
    8: Breakage(
        broken.lost_gpu,
        "driver.count",
        "",
        "see `sudo dmesg | grep -i xid`; then drain the host and power-cycle it",
    ),
}
"""By the host's number: what is broken in each round."""


def looked(fleet: Fleet, wrong: Mapping[int, Breakage], *words: str, code: int = 2) -> dict[str, Any]:
    """One verification with these hosts broken; everything that people mend by hand is mended behind it."""
    with ExitStack() as mended:
        for number, breakage in wrong.items():
            mended.callback(breakage.act(fleet.hosts[number - 1]))
        told = fleet.verify(*words, code=code)
    for number, host in enumerate(fleet.hosts, 1):
        if number in wrong:
            wrong[number].named(told, host, f"{' '.join(fleet.inventory)} -l {host.name}")
        else:
            healthy(told, host)
    return told


def test_environments_shared_data_mounts_and_sshd(fleet: Fleet) -> None:
    looked(fleet, FIRST, "-T", "3", code=6)
    fleet.apply("-l", "gpu-01,gpu-04")


def test_apps_clock_driver_and_data(fleet: Fleet) -> None:
    fleet.more.write_text(MORE.rstrip() + f"\n      hosts: {{gpu-04: {{{APP}_steps: {broken.OTHER_STEPS}}}}}\n")
    looked(fleet, SECOND)
    fleet.run("app", "start", APP, *fleet.inventory, "-l", "gpu-02")
    fleet.run("app", "restart", APP, *fleet.inventory, "-l", "gpu-05")
    fleet.apply("-l", "gpu-04")


def test_files_configuration_and_gpus_of_which_one_is_busy(fleet: Fleet) -> None:
    busy = fleet.hosts[3]
    back = broken.busy_gpu(busy)
    try:
        told = looked(fleet, THIRD)
    finally:
        back()
    products = [each for each in findings(told, busy, "ok", "skipped") if each["check"] == "compute.product"]
    skipped = [each["summary"] for each in products if each["status"] == "skipped"]
    assert any(summary.startswith("GPU 0: busy: not probed; `python` (pid ") for summary in skipped)
    assert sum(each["status"] == "ok" for each in products) == 7
    (drift,) = findings(told, fleet.hosts[5], "failed")
    assert abs(drift["since"] - told["time"]) < 60
    assert drift["detail"]["by"] == ["root"]
    assert drift["detail"]["made"]["step"] == f"{APP} : Configuration is written"
    fleet.apply("-l", "gpu-05,gpu-06")


def everything(host: Host) -> set[str]:
    """Every file and link of a host with its times and size; ctime tells of any write, whatever was put back."""
    away = [word for path in ("/dev", "/proc", "/run", "/sys", "/var/log") for word in ("-o", "-path", path)][1:]
    argv = ["find", "/", "/data", "-xdev", "(", *away, ")", "-prune", "-o", "-not", "-type", "d"]
    return set(host.run([*argv, "-printf", "%p %s %T@ %C@\\n"]).stdout.splitlines())


def test_a_mended_fleet_has_no_finding_and_a_deep_look_touches_no_file(fleet: Fleet) -> None:
    before = [everything(host) for host in fleet.hosts]
    told = fleet.verify("--deep")
    after = [everything(host) for host in fleet.hosts]
    assert told["ok"] and told["simulated"]
    for host in fleet.hosts:
        healthy(told, host)
    assert [old ^ new for old, new in zip(before, after, strict=True)] == [set()] * 8


def test_facts_are_kept_beside_the_inventory(fleet: Fleet) -> None:
    for host in fleet.hosts:
        path = fleet.lab.inventory.parent / ".provision/facts" / f"{host.name}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        kept = json.loads(path.read_text())
        assert (kept["host"], kept["facts"]["hostname"]) == (host.name, host.name)


def test_watch_tells_what_changed_and_ctrl_c_ends_it_with_the_last_code(fleet: Fleet, tmp_path: Path) -> None:
    files = ["--metrics", str(tmp_path / "fleet.prom"), "--html", str(tmp_path / "fleet.html")]
    words = ["verify", PLAYBOOK, *fleet.inventory, "-l", "gpu-01,gpu-02", "--watch", "1s", *files]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True, "cwd": PROJECT}
    host = fleet.hosts[1]
    with subprocess.Popen([sys.executable, "-m", "provision", *words], **options) as watching:
        try:
            assert watching.stdout
            first = next(line for line in watching.stdout if "2 hosts: " in line)
            broken.stopped_unit(host)
            changed = [watching.stdout.readline() for _ in range(4)]
            watching.send_signal(signal.SIGINT)
            code, rest = watching.wait(20), watching.stdout.read()
        finally:
            watching.kill()
            broken.shell(host, f"systemctl start {APP}")
            broken.serves(host)
    assert "all true" in first
    assert [line for line in changed if line.startswith(f"  + apps {APP}: it does not run")], changed
    assert (code, rest) == (2, "")
    assert f'host_ok{{host="{host.name}"}} 0.0' in (tmp_path / "fleet.prom").read_text()
    assert "it does not run" in (tmp_path / "fleet.html").read_text()


def test_what_no_play_names_is_an_orphan(fleet: Fleet, tmp_path: Path) -> None:
    other = tmp_path / "none.yaml"
    text = (PROJECT / PLAYBOOK).read_text()
    other.write_text("".join(line for line in text.splitlines(True) if f"role: {APP}" not in line))
    told = json.loads(fleet.run("verify", str(other), *fleet.inventory, "-l", "gpu-01", "-o", "json"))
    orphans = {(each["check"], each["subject"]): each for each in findings(told, fleet.hosts[0], "warning")}
    assert {*orphans} == {("environments.orphan", ENVIRONMENT), ("apps.orphan", APP), ("configuration.orphan", "")}
    assert all(each["since"] for each in orphans.values())
    assert SOURCE in orphans["configuration.orphan", ""]["detail"]["paths"]
