"""Each thing that `verify` looks at on a host, broken by hand: what is found, on which rung, and how it is mended.

The environment is made up: a link to the system's python, the lab's stand-in of torch, and records for both.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from on_host import OnHost

from provision.agent import seal
from provision.agent.system import System
from provision.lab import gpus, stubs
from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

LOCK, LISTING = "d4" * 32, "e5" * 32
PREFIX = f"/opt/conda/envs/.generations/looked-at/{LOCK[:12]}-1"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
PORT = 7100
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("broken") else 200)
        self.end_headers()
    def log_message(self, *args):
        pass
HTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""
HANGING = """
import ctypes, os, stat, sys
if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
os.makedirs(sys.argv[1], exist_ok=True)
server = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % server
if ctypes.CDLL(None).mount(b"nobody:/answers", sys.argv[1].encode(), b"fuse", 0, options.encode()):
    sys.exit("cannot mount")
print("mounted", flush=True)
sys.stdin.read()
"""

Finding = dict[str, Any]


class Site:
    """A host that is right, and looks at all of it."""

    def __init__(self, host: Host) -> None:
        self.host, self.agent = host, OnHost(host)
        self.usual = host.gpus()
        self.app = {
            "name": "looked-at",
            "environment": "looked-at",
            "lock": LOCK,
            "directory": "/srv/looked-at",
            "command": ["python", "server.py", str(PORT)],
            "port": PORT,
            "configuration": ["/etc/looked-at.json"],
            "health": {"path": "/health", "start_timeout": 20, "interval": 0.1},
        }

    def path(self, path: str) -> Path:
        return Path(f"{self.host.root}{path}")

    def write(self, path: str, text: str) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def build(self) -> None:
        """Everything as `apply` would have left it."""
        self.host.run(["sh", "-c", "id video-user || useradd --create-home video-user"])
        self.write("/opt/conda/conda-meta/frozen", "{}\n")
        self.environment()
        self.write("/srv/looked-at/server.py", SERVER)
        self.write("/etc/looked-at.json", "{}")
        self.host.run(["sh", "-c", "mkdir -p /data/shared-assets; ln -sfn /data/shared-assets /srv/looked-at/assets"])
        self.host.run(["chown", "video-user", "/data/shared-assets"])
        started = self.agent.converge(("app", self.app))[0]
        assert started.error is None, started.error

    def environment(self) -> None:
        shutil.rmtree(self.path(PREFIX), ignore_errors=True)
        torch = stubs.modules(stubs.Stub("torch", "2.0.1", ["torch"], cuda="11.8"))
        files = {f"lib/python3.11/site-packages/{name}": text for name, text in torch.items()}
        files["lib/python3.11/site-packages/numpy_like.py"] = "value = 1\n"
        for name, text in files.items():
            self.write(f"{PREFIX}/{name}", text)
        self.write(f"{PREFIX}/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
        self.path(f"{PREFIX}/bin").mkdir()
        self.path(f"{PREFIX}/bin/python").symlink_to("/usr/bin/python3")
        paths = [
            {"_path": name, "path_type": "hardlink", "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in files.items()
        ]
        record = {"name": "pytorch", "version": "2.0.1", "build": "0", "files": list(files)}
        self.write(f"{PREFIX}/conda-meta/pytorch-2.0.1-0.json", json.dumps({**record, "paths_data": {"paths": paths}}))
        self.write("/srv/listing.json", json.dumps([{**record, "kind": "conda"}]))
        note = {"PATH": f"{PREFIX}/bin:/usr/bin:/bin", "CONDA_PREFIX": PREFIX}
        self.write(f"{PREFIX}/.provision/variables.json", json.dumps(note))
        seal.write(
            System(blob=str),
            str(self.path(PREFIX)),
            {
                "lock": LOCK,
                "name": "looked-at",
                "probe": {"torch": "2.0.1", "cuda": "11.8", "simulated": True},
                "proven": {"imports": ["torch"], "driver": "535.104.05"},
                "simulated": True,
            },
        )
        link = self.path("/opt/conda/envs/looked-at")
        link.unlink(missing_ok=True)
        link.symlink_to(f".generations/looked-at/{LOCK[:12]}-1")

    def steps(self, deep: bool = False, **changes: Any) -> list[tuple[str, dict[str, Any]]]:
        """The looks that a play would give this host; `changes` by the word behind `verify_`."""
        named = {"name": "looked-at", "lock": LOCK}
        expect = {"torch": "2.0.1", "cuda": "11.8"}
        specs: dict[str, dict[str, Any]] = {
            "system": {"time": time.time(), "disks": {"/": 1 << 20}, "memory_mb": 1, "deadline": 1.0},
            "driver": {"floors": {"looked-at": {"driver": "450.80.02", "cuda": "11.8"}}, "count": 4, "deep": deep},
            "environment": {**named, "listing_blob": LISTING, "users": ["root", "video-user"], "deep": deep},
            "imports": {**named, "imports": ["torch"], "user": "video-user", "deep": deep},
            "compute": {**named, "expect": expect, "user": "video-user", "product": deep},
            "shared_data": {
                "mounted": True,
                "directories": ["shared-assets"],
                "links": {"/srv/looked-at/assets": "/data/shared-assets"},
                "writable": {"/data/shared-assets": ["video-user", "root"]},
                "free": 1 << 20,
                "deadline": 1.0,
            },
            "app": {"app": self.app, "deadline": 3.0},
        }
        return [(f"verify_{word}", {**spec, **changes.get(word, {})}) for word, spec in specs.items()]

    def look(self, deep: bool = False, **changes: Any) -> list[Finding]:
        """The findings of all looks."""
        outcomes = self.agent.converge(*self.steps(deep, **changes), check=True, blobs={LISTING: "/srv/listing.json"})
        assert [outcome.error for outcome in outcomes] == [None] * 7
        assert [outcome.actions for outcome in outcomes] == [[]] * 7
        return [finding for outcome in outcomes for finding in outcome.fields["findings"]]

    def bad(self, deep: bool = False, **changes: Any) -> list[Finding]:
        """The findings that are not well."""
        return [one for one in self.look(deep, **changes) if one["status"] in ("failed", "warning")]

    def the(self, deep: bool = False, **changes: Any) -> Finding:
        """The one finding that is not well."""
        found = self.bad(deep, **changes)
        assert len(found) == 1, found
        return found[0]

    @contextmanager
    def gpus(self, **changes: Any) -> Iterator[None]:
        self.host.set_gpus(replace(self.usual, **changes))
        try:
            yield
        finally:
            self.host.set_gpus(self.usual)

    @contextmanager
    def process(self, text: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """A python on the host that ends when its input does."""
        enter = ["nsenter", f"--target={self.host.pid}", "--mount", "--net", "--pid", "--ipc", "--", "python3", "-c"]
        with subprocess.Popen(
            [*enter, text, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as started:
            assert started.stdout is not None and started.stdin is not None
            assert started.stdout.readline(), "it did not start"
            yield started
            started.stdin.close()

    def state(self) -> str:
        """Every file with its content's hash and its time, of all folders that matter."""
        places = "/opt/conda /srv /data /etc /root /home /var/lib/provision /tmp"
        listed = f"find {places} -xdev -printf '%p %T@ %y %s\\n' | sort"
        hashed = f"find {places} -xdev -type f -exec sha256sum {{}} + | sort"
        return self.host.run(["sh", "-c", f"{listed}; {hashed}"]).stdout


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    own = Lab(f"test-{os.getpid()}-looks")
    try:
        own.up({"gpu": 1})
        made = Site(own.hosts[0])
        made.build()
        yield made
    finally:
        own.down()


def test_a_host_that_is_right_gives_no_finding(site: Site) -> None:
    found = site.look()
    assert [one for one in found if one["status"] in ("failed", "warning")] == []
    assert {one["rung"] for one in found} == {
        *("system", "driver", "environments", "imports", "compute", "shared_data", "apps")
    }
    assert next(one for one in found if one["check"] == "imports.declared")["summary"].startswith("proven at build")


def test_a_deep_look_leaves_nothing_behind(site: Site) -> None:
    before = site.state()
    found = site.look(deep=True)
    assert site.state() == before
    assert [one for one in found if one["status"] in ("failed", "warning")] == []
    products = [one for one in found if one["check"] == "compute.product"]
    assert [one["status"] for one in products] == ["ok"] * 4
    assert all(one["detail"]["simulated"] and one["detail"]["error"] < 1e-4 for one in products)


def test_what_is_right_costs_little(site: Site) -> None:
    steps = site.steps()
    blobs = {LISTING: "/srv/listing.json"}
    best = min(sum(one.cpu_seconds for one in site.agent.converge(*steps, check=True, blobs=blobs)) for _ in range(3))
    assert best < 0.09


def test_a_file_that_was_edited(site: Site) -> None:
    try:
        site.host.run(["sed", "-i", "s/1/2/", f"{SITE}/numpy_like.py"])
        found = site.the()
        assert (found["rung"], found["check"], found["subject"]) == (
            "environments",
            "environments.files",
            "looked-at",
        )
        assert found["detail"]["files"] == ["changed: lib/python3.11/site-packages/numpy_like.py"]
        assert found["detail"]["by"] == ["root"] and abs(found["since"] - time.time()) < 30
        assert found["mend"] == "provision apply"
    finally:
        site.environment()


def test_a_file_that_was_edited_in_place_and_given_its_time_back(site: Site) -> None:
    file = site.path(f"{SITE}/numpy_like.py")
    times = file.stat()
    try:
        file.write_text("value = 9\n")
        site.host.run(["touch", "--date", f"@{times.st_mtime_ns / 1e9:.9f}", f"{SITE}/numpy_like.py"])
        seen = [one for one in site.bad(deep=True) if one["check"] == "environments.files"]
        assert len(seen) == 1 and "numpy_like.py" in seen[0]["summary"]
    finally:
        site.environment()


def test_a_package_that_was_removed(site: Site) -> None:
    try:
        site.host.run(["rm", "-r", f"{PREFIX}/conda-meta/pytorch-2.0.1-0.json", f"{SITE}/torch"])
        packages, files = site.bad()
        assert packages["check"] == "environments.packages"
        assert packages["summary"] == "packages are not the lock's: missing `pytorch 2.0.1 0`"
        assert files["check"] == "environments.files"
        assert "missing: lib/python3.11/site-packages/torch/__init__.py" in files["detail"]["files"]
    finally:
        site.environment()


def test_what_was_put_into_an_environment(site: Site) -> None:
    try:
        site.write(f"{SITE}/gradio-3.0.dist-info/METADATA", "Name: gradio\n")
        packages, unowned = site.bad()
        assert packages["detail"]["packages"] == ["not in the lock: gradio"]
        assert abs(packages["since"] - time.time()) < 30
        assert unowned["check"] == "environments.unowned"
        assert unowned["summary"] == (
            "something was put into it: added `lib/python3.11/site-packages/gradio-3.0.dist-info/`"
        )
    finally:
        site.environment()


def test_another_lock_serves(site: Site) -> None:
    found = site.the(environment={"lock": "f6" * 32})
    assert found["check"] == "environments.lock"
    assert found["summary"] == "lock d4d4d4d4d4d4 serves, the playbook's is f6f6f6f6f6f6"


def test_pip_into_base(site: Site) -> None:
    folder = "/opt/conda/lib/python3.11/site-packages/requests-2.31.0.dist-info"
    try:
        site.write(f"{folder}/METADATA", "Name: requests\n")
        found = site.the()
        assert (found["check"], found["subject"]) == ("environments.base", "/opt/conda")
        assert found["summary"] == "base was added to: `requests 2.31.0`"
        assert abs(found["since"] - time.time()) < 30
    finally:
        shutil.rmtree(site.path("/opt/conda/lib"))


def test_an_import_that_the_apps_user_cannot_make(site: Site) -> None:
    found = site.the(imports={"imports": ["torch", "gradio"]})
    assert found["check"] == "imports.declared"
    assert found["summary"] == "cannot import `gradio` (ModuleNotFoundError: No module named 'gradio')"
    try:
        site.path(f"{PREFIX}").chmod(0o700)
        closed = site.the(imports={"deep": True})
        assert closed["summary"] == f"`video-user` may not enter `{PREFIX}`, where the environment is"
    finally:
        site.path(f"{PREFIX}").chmod(0o755)


def test_an_import_that_writes_is_not_made(site: Site) -> None:
    try:
        site.write(f"{SITE}/writes.py", "import pathlib\npathlib.Path.home().joinpath('.cache').mkdir(parents=True)\n")
        outcome = site.agent.converge(("verify_imports", {"name": "looked-at", "imports": ["torch", "writes"]}))[0]
    finally:
        site.environment()
    (found,) = outcome.fields["findings"]
    assert found["status"] == "skipped"
    assert found["summary"] == "not imported, since nothing may be written here: `writes` writes at import"


def test_another_torch_than_is_meant(site: Site) -> None:
    found = site.the(compute={"expect": {"torch": "2.1.0", "cuda": "11.8"}})
    assert (found["check"], found["summary"]) == ("compute.torch", "torch is 2.0.1, meant is 2.1.0")


def test_a_gpu_that_is_used_is_not_computed_on(site: Site) -> None:
    used = [identifier for identifier, _ in site.usual.devices][1]
    with site.gpus(processes=[gpus.Process(used, 4711, "python", 20000)]):
        found = site.look(compute={"product": True})
        assert [one for one in found if one["status"] in ("failed", "warning")] == []
        products = {one["subject"]: one for one in found if one["check"] == "compute.product"}
        assert products[used]["status"] == "skipped"
        assert products[used]["summary"] == "GPU 1: busy: not probed; `python` (pid 4711)"
        assert [one["status"] for one in products.values()].count("ok") == 3
        anyway = site.look(compute={"product": True, "busy": True})
        assert [one["status"] for one in anyway if one["check"] == "compute.product"] == ["ok"] * 4


def test_driver_too_old_or_of_two_versions(site: Site) -> None:
    with site.gpus(driver="440.33.01", cuda="10.2"):
        found = site.the()
        assert (found["check"], found["subject"]) == ("driver.floor", "looked-at")
        assert found["detail"]["driver"] == "440.33.01"
    mismatch = (18, "Failed to initialize NVML: Driver/library version mismatch")
    with site.gpus(module="535.54.03", failure=mismatch):
        found = site.bad()[0]
        assert found["check"] == "driver.library"
        assert found["summary"] == "the kernel runs driver module 535.54.03, the libraries are of 535.104.05"
        assert "reboot" in found["mend"]


def test_a_gpu_that_is_not_well(site: Site) -> None:
    first, second, third, _ = [identifier for identifier, _ in site.usual.devices]
    states = {
        first: {"ecc": "2"},
        second: {"throttling": "hw_thermal_slowdown"},
        third: {"persistence": "Disabled", "mig": "Enabled"},
    }
    with site.gpus(states=states, nouveau=True, switches=2, built=False):
        found = {(one["check"], one["subject"]): one["status"] for one in site.bad()}
    assert found == {
        ("driver.nouveau", ""): "warning",
        ("driver.module", os.uname().release): "warning",
        ("driver.ecc", first): "failed",
        ("driver.throttling", second): "warning",
        ("driver.persistence", third): "warning",
        ("driver.mig", third): "failed",
        ("driver.fabric", ""): "failed",
    }


def test_shared_data_on_a_mount_that_never_answers(site: Site) -> None:
    step = ("verify_shared_data", {"path": "/mnt/hanging", "deadline": 0.5})
    with site.process(HANGING, "/mnt/hanging"):
        (outcome,) = site.agent.converge(step, check=True)
    site.host.run(["umount", "-l", "/mnt/hanging"], check=False)
    (found,) = outcome.fields["findings"]
    assert found["summary"].startswith("`/mnt/hanging` does not answer within 0.5 s")


def test_a_link_that_became_a_directory(site: Site) -> None:
    link = site.path("/srv/looked-at/assets")
    link.unlink()
    try:
        site.write("/srv/looked-at/assets/picture.png", "x")
        found = site.the()
        assert (found["check"], found["subject"]) == ("shared_data.link", "/srv/looked-at/assets")
        assert "a directory with 1 file" in found["summary"]
        assert found["mend"] == "move what is there into `/data/shared-assets`, then provision apply"
    finally:
        shutil.rmtree(link)
        link.symlink_to("/data/shared-assets")


def test_data_that_is_full_or_not_mounted_or_not_writable(site: Site) -> None:
    found = site.the(shared_data={"free": 1 << 60})
    assert found["check"] == "shared_data.free" and "are free at `/data`" in found["summary"]
    site.host.run(["mkdir", "-p", "/srv/plain"])
    found = site.the(shared_data={"path": "/srv/plain", "directories": [], "links": {}, "writable": {}})
    assert found["summary"] == "`/srv/plain` is not mounted: it is a plain directory on the file system of `/`"
    found = site.the(shared_data={"filesystem": "nfs"})
    assert "meant is nfs" in found["summary"]
    site.host.run(["chown", "root", "/data/shared-assets"])
    try:
        found = site.the()
        assert found["summary"] == "`video-user` may not write to `/data/shared-assets`"
    finally:
        site.host.run(["chown", "video-user", "/data/shared-assets"])
    site.host.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", "/srv/plain"])
    try:
        writable = {"/srv/plain": ["root"]}
        found = site.the(shared_data={"path": "/srv/plain", "directories": [], "links": {}, "writable": writable})
        assert found["summary"] == "`/srv/plain` is mounted read-only"
    finally:
        site.host.run(["umount", "/srv/plain"])


def test_an_app_that_is_stopped(site: Site) -> None:
    site.host.run(["systemctl", "stop", "looked-at"])
    try:
        found = site.the()
        assert (found["check"], found["subject"]) == ("apps.state", "looked-at")
        assert found["summary"] == "it does not run: its unit is inactive (dead)"
        assert found["mend"] == "`provision app start looked-at`"
        assert abs(found["since"] - time.time()) < 60
        holder = "import socket, sys; s = socket.create_server(('', 7100)); print('up', flush=True); sys.stdin.read()"
        with site.process(holder):
            port = next(one for one in site.bad() if one["check"] == "apps.port")
        assert port["summary"].startswith("port 7100 belongs to `python3` (pid ")
    finally:
        site.host.run(["systemctl", "start", "looked-at"])
        _serves(site)


def test_an_app_that_answers_wrong(site: Site) -> None:
    site.write("/srv/looked-at/broken", "")
    found = site.bad(app={"app": {**site.app, "health": {**site.app["health"], "start_timeout": 0.1}}})
    site.path("/srv/looked-at/broken").unlink()
    health = next(one for one in found if one["check"] == "apps.health")
    assert health["summary"] == "`http://127.0.0.1:7100/health` answers HTTP 500 where 200 is expected"
    assert health["status"] == "failed"


def test_a_configuration_that_is_newer_than_the_process(site: Site) -> None:
    site.write("/etc/looked-at.json", '{"steps": 50}')
    try:
        found = site.the()
        assert found["check"] == "apps.digest"
        words = "its process was started with another configuration; `/etc/looked-at.json` changed since"
        assert (found["summary"], found["detail"]["by"]) == (words, ["root"])
    finally:
        site.write("/etc/looked-at.json", "{}")


def test_behind_a_broken_rung_nothing_is_looked_at(site: Site) -> None:
    steps = site.steps(system={"time": time.time() - 90})
    outcomes = site.agent.converge(*steps, check=True, blobs={LISTING: "/srv/listing.json"})
    assert [outcome.fields["reached"] for outcome in outcomes] == [True, *[False] * 6]
    assert [outcome.fields["findings"] for outcome in outcomes[1:]] == [[]] * 6


def _serves(site: Site) -> None:
    text = "for i in $(seq 100); do python3 -c %s && exit 0; sleep 0.1; done; exit 1"
    ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health')"
    site.host.run(["sh", "-c", text % shlex.quote(ask)])
