"""What people and machines do to a host that is right, each with the way back; used by the tests of `verify`.

Each function breaks one thing on one host and gives what undoes it by hand; where only `provision apply` mends it, the
way back does nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from provision.lab.gpus import Process, of_host
from provision.lab.hosts import Host
from provision.lab.inventory import PORT as SERVED

Back = Callable[[], object]
OTHER_STEPS = 60
APP, APP_PORT, SOURCE = "img2video", 7860, "/root/Image-to-Video"
ENVIRONMENT = "img2video-torch20-cu118"
PYTHON = f"/opt/conda/envs/{ENVIRONMENT}/bin/python"
STARTED = f"test $(ps -o etimes= -p $(systemctl show -p MainPID --value {APP})) -gt 20"
ASKING = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{APP_PORT}/health')"
HANGING = """
import ctypes, os, stat, sys
if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
os.makedirs("/mnt/hanging", exist_ok=True)
server = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % server
if ctypes.CDLL(None).mount(b"nobody:/answers", b"/mnt/hanging", b"fuse", 0, options.encode()):
    sys.exit("cannot mount")
print("mounted", flush=True)
sys.stdin.read()
"""


def nothing() -> None:
    """The way back of what only `provision apply` mends."""


def gpus_of(host: Host, count: int = 8) -> None:
    """Give a host so many simulated GPUs, where the lab gives four."""
    host.set_gpus(of_host(host.record.name, host.name, host.host.number, count))


def shell(host: Host, text: str, *, check: bool = True) -> str:
    return host.run(["timeout", "40", "sh", "-c", text], check=check).stdout


def prefix(host: Host) -> Path:
    return (host.root / "opt/conda/envs" / ENVIRONMENT).resolve()


def serves(host: Host) -> None:
    """Wait until the app answers."""
    shell(host, f'until python3 -c "{ASKING}" 2>/dev/null; do sleep 0.1; done')


def edited_file(host: Host) -> Back:
    (path,) = prefix(host).glob("lib/python3*/site-packages/torch/version.py")
    shell(host, f"sed -i 's/^/# edited /' {Path('/') / path.relative_to(host.root)}")
    return nothing


def removed_package(host: Host) -> Back:
    shell(host, f"{PYTHON} -B -m pip uninstall --quiet --yes --root-user-action ignore gradio")
    return nothing


def pip_into_base(host: Host) -> Back:
    index = f"http://{host.record.gateway}:{SERVED}/simple"
    options = f"--quiet --no-cache-dir --no-deps --disable-pip-version-check --index-url {index}"
    base = "--target /opt/conda/lib/python3.11/site-packages"
    shell(host, f"{PYTHON} -B -m pip install {options} --trusted-host {host.record.gateway} {base} attrs")
    return lambda: shutil.rmtree(host.root / "opt/conda/lib")


def torch_of_a_user(host: Host) -> Back:
    (site,) = prefix(host).glob("lib/python3*/site-packages")
    own = host.root / "root/.local/lib" / site.parent.name / "site-packages/torch"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("")
    return lambda: shutil.rmtree(host.root / "root/.local")


def directory_for_link(host: Host) -> Back:
    link = host.root / SOURCE.strip("/") / "assets"
    link.unlink()
    link.mkdir()
    (link / "picture.png").write_text("made where nobody else sees it")

    def moved() -> None:
        shell(host, f"mv {SOURCE}/assets/* /data/shared-assets/ && rmdir {SOURCE}/assets")

    return moved


def full_data(host: Host) -> Back:
    shell(host, "mount -o remount,size=64k /data; cat /dev/zero >/data/outputs/filler 2>/dev/null || true")

    def freed() -> None:
        shell(host, "rm /data/outputs/filler; mount -o remount,size=2g /data")

    return freed


def unmounted_data(host: Host) -> Back:
    shell(host, "umount -l /data")
    return lambda: mount_data(host)


def mount_data(host: Host) -> None:
    """A file system of its own at /data, in memory, with the directories of shared data."""
    shell(host, "mount -t tmpfs -o size=2g storage /data; cd /data; mkdir -p inputs outputs shared-assets models")


def hanging_mount(host: Host) -> Back:
    enter = ["nsenter", f"--target={host.pid}", "--mount", "--net", "--pid", "--ipc", "--", "python3", "-c", HANGING]
    server = subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdout.readline(), "it is not mounted"

    def away() -> None:
        server.communicate("", timeout=20)
        shell(host, "umount -l /mnt/hanging; rmdir /mnt/hanging; rm -f /dev/fuse")

    return away


def stopped_unit(host: Host) -> Back:
    shell(host, f"systemctl stop {APP}")
    return nothing


def taken_port(host: Host) -> Back:
    shell(host, f"systemctl stop {APP}; systemd-run --quiet --unit=intruder python3 -m http.server {APP_PORT}")

    def back() -> None:
        shell(host, f"systemctl stop intruder; systemctl start {APP}")
        serves(host)

    return back


def edited_configuration(host: Host) -> Back:
    (host.root / f"etc/{APP}/config.json").write_text("{}\n")
    return nothing


def newer_configuration(host: Host) -> Back:
    """The file is what the inventory says by now, which is OTHER_STEPS; its process was started before."""
    path = host.root / f"etc/{APP}/config.json"
    text = path.read_text()
    path.write_text(text.replace('"steps": 50', f'"steps": {OTHER_STEPS}'))
    assert path.read_text() != text
    return nothing


def broken_app(host: Host) -> Back:
    """Its checkout is exchanged under the feet of the process, which then cannot say where it is: HTTP 500."""
    # until its `start_timeout` is over an app only starts
    shell(host, f"until {STARTED}; do sleep 0.5; done")
    shell(host, f"cp -a {SOURCE} /root/another && rm -r {SOURCE} && mv /root/another {SOURCE}")
    return nothing


def clock_ahead(host: Host) -> Back:
    """Simulated by libfaketime, which each session of the host loads: the clock itself has no namespace."""
    found = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    assert found, "bash tests/prerequisites.sh faketime"
    library, variables = host.root / "usr/lib/libfaketime.so.1", host.root / "etc/environment"
    shutil.copyfile(found, library)
    variables.write_text("LD_PRELOAD=/usr/lib/libfaketime.so.1\nFAKETIME=+90s\nFAKETIME_DONT_FAKE_MONOTONIC=1\n")

    def back() -> None:
        variables.write_text("")
        library.unlink()

    return back


def without_sshd(host: Host) -> Back:
    shell(host, "systemctl stop ssh.socket ssh.service", check=False)

    def back() -> None:
        shell(host, "systemctl start ssh.service")
        host.wait()

    return back


def old_driver(host: Host) -> Back:
    return _with_gpus(host, driver="440.33.01", cuda="10.2")


def module_of_another_version(host: Host) -> Back:
    failure = (18, "Failed to initialize NVML: Driver/library version mismatch")
    return _with_gpus(host, module="535.54.03", failure=failure)


def lost_gpu(host: Host) -> Back:
    (identifier, _), *_ = of_host(host.record.name, host.name, host.host.number, 8).devices
    return _with_gpus(host, lost=frozenset([identifier]), xids=[("00000000:07:00.0", 79)])


def busy_gpu(host: Host) -> Back:
    (identifier, _), *_ = of_host(host.record.name, host.name, host.host.number, 8).devices
    return _with_gpus(host, processes=[Process(identifier, os.getpid(), "python", 20000)])


def _with_gpus(host: Host, **changes: object) -> Back:
    usual = of_host(host.record.name, host.name, host.host.number, 8)
    host.set_gpus(replace(usual, **changes))  # type: ignore[arg-type]
    return lambda: host.set_gpus(usual)
