"""What apps may do and what not, on a real systemd: a server that tries each thing and tells what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_app import Bench
from test_main_job import exposure

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

TRYING = """
import json, mmap, os, socket, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

def outcome(act):
    try:
        act()
        return "ok"
    except OSError as error:
        return error.strerror

def write(path):
    def act():
        with open(path, "w") as file:
            file.write("x")
    return act

def status(name):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name))

TRIES = {
    "directory": write("output.txt"),
    "data": write("/data/outputs/made"),
    "home": write(os.path.expanduser("~/.cache-of-app")),
    "scratch": write("/scratch/made"),
    "tmp": write("/tmp/made-by-app"),
    "shm": write("/dev/shm/made-by-app"),
    "etc": write("/etc/made-by-app"),
    "environment": write(os.path.join(os.environ["CONDA_PREFIX"], "made-by-app")),
    "other app": write("/srv/two/made-by-app"),
    "state": lambda: os.stat("/var/lib/provision/lock"),
    "tunables": write("/proc/sys/kernel/domainname"),
    "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "compiler": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "child": lambda: subprocess.run(["/bin/true"], check=True),
    "mount": lambda: subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], check=True, stderr=subprocess.DEVNULL),
}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {}
        for name, act in TRIES.items():
            try:
                told[name] = outcome(act)
            except Exception as error:
                told[name] = type(error).__name__
        told["no new privileges"] = status("NoNewPrivs:")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"environ": told}).encode())
    def log_message(self, *args):
        pass
HTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""
REFUSED = "Read-only file system"


@pytest.fixture
def bench(lab: Lab) -> Iterator[Bench]:
    made = Bench(lab.hosts[0])
    made.host.run(["install", "-D", "/dev/null", "/var/lib/provision/lock"])
    made.write("/srv/one/server.py", TRYING)
    made.host.run(["mkdir", "-p", "/data/outputs", "/scratch"])
    yield made
    made.clean()
    made.host.run(["rm", "-rf", "/scratch", "/data/outputs/made", "/srv/one/output.txt"])


def there(bench: Bench, path: str) -> bool:
    return bench.host.run(["rm", path], check=False).returncode == 0


def applied(bench: Bench, **changes: Any) -> dict[str, Any]:
    made = bench.apply(data=["/data"], **changes)
    assert made.error is None, made.error
    return bench.served()


def test_an_app_writes_its_own_and_nothing_else(bench: Bench) -> None:
    told = applied(bench)
    good = ("directory", "data", "home", "tmp", "shm", "compiler", "child")
    assert {name: told[name] for name in good} == dict.fromkeys(good, "ok")
    read_only = ("etc", "environment", "other app", "scratch", "tunables")
    assert {name: told[name] for name in read_only} == dict.fromkeys(read_only, REFUSED)
    assert told["state"] == "No such file or directory", "what the tool keeps is hidden"
    assert told["packets"] == "Address family not supported by protocol"
    assert told["mount"] == "CalledProcessError"
    assert told["no new privileges"] == "1"
    assert not there(bench, "/tmp/made-by-app"), "its /tmp is its own"
    assert bench.host.run(["cat", "/data/outputs/made"]).stdout == "x"


def test_each_relaxation_is_named(bench: Bench) -> None:
    told = applied(bench, hardening={"writable": ["/scratch"], "shared_tmp": True, "new_privileges": True})
    assert (told["scratch"], told["etc"], told["no new privileges"]) == ("ok", REFUSED, "0")
    assert there(bench, "/tmp/made-by-app")
    told = applied(bench, hardening={"unconfined": True})
    assert (told["etc"], told["packets"]) == ("ok", "ok")
    bench.path("/etc/made-by-app").unlink()


def test_an_app_of_a_user_is_confined_as_well(bench: Bench) -> None:
    bench.host.run(["sh", "-c", "id runner >/dev/null 2>&1 || useradd --create-home runner"])
    bench.host.run(["chown", "-R", "runner", "/srv/one", "/data/outputs"])
    told = applied(bench, user="runner")
    assert (told["directory"], told["data"], told["home"], told["etc"]) == ("ok", "ok", "ok", REFUSED)
    bench.host.run(["chown", "-R", "root", "/srv/one", "/data/outputs"])


@pytest.mark.parametrize("user", ["root", "runner"])
def test_its_exposure_is_bounded(bench: Bench, user: str) -> None:
    bench.host.run(["sh", "-c", "id runner >/dev/null 2>&1 || useradd --create-home runner"])
    bench.host.run(["chown", "-R", user, "/srv/one"])
    applied(bench, user=user, gpus=["all"])
    assert exposure(bench.host, "one") <= 5.0
    bench.host.run(["chown", "-R", "root", "/srv/one"])
