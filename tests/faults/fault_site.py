"""Two hosts with the full playbook applied: one is hit by faults, the other must never notice.

Owns the hosts, what stands on them that nobody may lose, the state that trials start from, and runs of the tool.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provision.agent.generations import notes_directory
from provision.lab.fleet import Lab
from provision.lab.hosts import Host

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/gpu-cluster.yaml"
HIT, OTHER = "gpu-01", "gpu-02"
APP, PORT = "llama-inference", 8080
ENVIRONMENT = "llama-torch20-cu118"
BUILT = f"{APP} : Environment is built and verified"
WRITTEN = f"{APP} : Configuration is written"
ENVS = "opt/conda/envs"
CONFIGURATION = f"/etc/{APP}/config.json"
USER_FILES = ("root/notes.txt", "root/llama-inference/mine.bin", "root/Image-to-Video/outputs-of-mine/picture.raw")
FORGET = f"""
systemctl stop {APP}; systemctl disable -q {APP}; rm -f /etc/systemd/system/{APP}.service; systemctl daemon-reload
rm -rf /{ENVS}/{ENVIRONMENT} /{ENVS}/.generations/{ENVIRONMENT} /etc/{APP}
"""
LOCK_IS_FREE = ["flock", "--nonblock", "/var/lib/provision/lock", "true"]


class Run:
    """One run of the tool, with its events and the moments they came."""

    def __init__(self, argv: list[str], folder: Path, stderr: Path, environment: dict[str, str]) -> None:
        self.begun = time.monotonic()
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._news = threading.Condition()
        self._stderr = stderr
        with stderr.open("w") as said:
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", sys.executable, "-m", "provision", *argv],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=said,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "cut short"}  # the last line of a process that was killed
            with self._news:
                self.events.append((time.monotonic(), event))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> bool:
        """Whether such an event came; False once the run is over or the time is up."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not any(wanted(event) for _, event in self.events):
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    return False
                self._news.wait(min(left, 0.2))
        return True

    def end(self, seconds: float) -> int:
        """The exit code; raises subprocess.TimeoutExpired, having killed it, where it does not end in time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join(5)
            assert self.process.stdout
            self.process.stdout.close()
        return code

    def of(self, host: str, *kinds: str) -> list[dict[str, Any]]:
        return [event for _, event in self.events if event.get("host") == host and event["event"] in kinds]

    def when(self, kind: str, host: str = "") -> float | None:
        moments = (at for at, event in self.events if (event["event"], event.get("host", "")) == (kind, host))
        return next(moments, None)

    def results(self, host: str) -> dict[str, str]:
        """The status of each task of a host, by title."""
        return {event["title"]: event["result"]["status"] for event in self.of(host, "StepEnded")}

    def said(self, host: str) -> str:
        """All that the run says of what went wrong with a host, or before any host."""
        errors = [event["error"] for event in self.of(host, "HostUnreachable", "HostFailed") if event.get("error")]
        errors += [event["result"]["error"] for event in self.of(host, "StepEnded") if event["result"]["error"]]
        texts = ["\n".join(str(error.get(part) or "") for part in ("summary", "cause", "hint")) for error in errors]
        messages = [event.get("message", "") for event in self.of(host, "StepEnded")]
        return "\n".join([*texts, *messages, self._stderr.read_text(errors="replace")])


class Site:
    """A lab of two hosts, the operator's project, and what was on the hosts before."""

    def __init__(self, lab: Lab, folder: Path, tags: str = "", files: int = 10_000, calibrated: bool = True) -> None:
        self.lab, self.folder, self.tags = lab, folder, tags
        self.project = folder / "project"
        for name in ("playbooks", "roles"):
            shutil.copytree(PROJECT / name, self.project / name)
        self.hit, self.other = lab.host(HIT), lab.host(OTHER)
        self._runs = 0
        self.build_seconds = 2.0
        self.converge()
        for host in (self.hit, self.other):
            _fill(host, files)
        self.kept = {host.name: digest(host) for host in (self.hit, self.other)}
        if calibrated:
            self.calibrate()

    def calibrate(self) -> None:
        """How long the environment takes here to be built, on packages that the host has."""
        self.unmake(rebuild=True)
        run = self.start()
        assert run.end(240) == 0, run.said(HIT)
        results = [event for event in run.of(HIT, "StepEnded") if event["title"] == BUILT]
        self.build_seconds = results[0]["result"]["seconds"]

    def inventory(
        self, changes: dict[str, Any] | None = None, known: str = "", edit: Callable[[str], str] | None = None
    ) -> Path:
        """An inventory like the lab's, with variables of the host that is hit changed; `known` are its known_hosts."""
        place = self.folder / f"inventory-{self._runs}-{len(list(self.folder.iterdir()))}"
        place.mkdir()
        text = self.lab.inventory.read_text()
        for name, value in (changes or {}).items():
            line = f"            {HIT}:\n"
            if name == "ansible_host":
                text = text.replace(f"{line}              ansible_host: {self.hit.address}\n", line)
            text = text.replace(line, f"{line}              {name}: {json.dumps(value)}\n")
        (place / "inventory.yaml").write_text(edit(text) if edit else text)
        (place / "known_hosts").write_text(known or self.lab.state.known_hosts.read_text())
        shutil.copytree(self.lab.inventory.parent / "locks", place / "locks")
        return place / "inventory.yaml"

    def start(
        self,
        *more: str,
        inventory: Path | None = None,
        playbook: str = PLAYBOOK,
        environment: dict[str, str] | None = None,
    ) -> Run:
        """Begin a real apply."""
        self._runs += 1
        tags = ["-t", self.tags] if self.tags else []
        argv = ["apply", playbook, "-y", "-o", "jsonl", "-i", str(inventory or self.lab.inventory), *tags, *more]
        return Run(argv, self.project, self.folder / f"stderr-{self._runs}", environment or {})

    def converge(self, *more: str, seconds: float = 300) -> set[tuple[str, str]]:
        """Apply, which must succeed; what it changed, by host and task."""
        run = self.start(*more)
        code = run.end(seconds)
        assert code == 0, f"exit code {code}\n{run.said(HIT)}\n{run.said(OTHER)}"
        return {
            (host, title) for host in (HIT, OTHER) for title, status in run.results(host).items() if status == "changed"
        }

    def unmake(self, *, rebuild: bool) -> None:
        """Give both hosts something to do: the one that is hit a configuration, or also an environment and its app."""
        for host in (self.hit, self.other):
            host.run(["rm", "-f", CONFIGURATION])
        if rebuild:
            self.hit.run(["sh", "-c", FORGET])

    def forget_packages(self, rng: random.Random) -> str:
        """Take a package of the environment out of the host's cache; its archive's path below the lab's www."""
        archives = sorted((self.lab.state.www / "conda").glob("*/*/pytorch-2.0.1-*cuda*.conda"))
        archive = rng.choice(archives)
        for path in (self.hit.root / "opt/conda/pkgs").glob(f"{archive.stem}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return str(archive)

    def half_visible(self) -> list[str]:
        """Names of environments on the host that is hit that lead to anything but a sealed generation.

        Looked at from within the host where it is up: a file system that a trial mounts there is seen nowhere else.
        """
        pid = self.hit.pid
        envs = (Path(f"/proc/{pid}/root") if pid else self.hit.root) / ENVS
        try:
            names = [name for name in os.listdir(envs) if not name.startswith(".")]  # noqa: PTH208
        except OSError:
            return []
        return [name for name in names if not _sealed(envs / name)]

    def lock_free_after(self, seconds: float) -> float | None:
        """Seconds until nobody holds the lock of the host that is hit; None when somebody still does in the end."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if not self.hit.run(LOCK_IS_FREE, check=False).returncode:
                return time.monotonic() - begun
            time.sleep(0.05)
        return None

    def holder(self) -> int | None:
        """The agent that holds the lock of the host that is hit, as the host counts processes."""
        text = (self.hit.root / "var/lib/provision/lock").read_text()
        pids = [json.loads(line).get("pid") for line in text.splitlines() if line.strip()]
        free = not self.hit.run(LOCK_IS_FREE, check=False).returncode
        return None if free or not pids else int(pids[-1])

    def mend(self) -> None:
        """Bring everything back after a trial that failed, by whatever means."""
        self.hit.mend()
        if not self.hit.up:
            self.hit.kill()
            self.hit.start()
        self.lock_free_after(45)
        self.converge()


def _sealed(link: Path) -> bool:
    if not link.is_symlink():
        return False
    try:
        target = link.parent / link.readlink()
    except OSError:
        return True  # it was just taken away
    return (Path(notes_directory(str(target))) / "seal.json").is_file() and (target / "bin/python").exists()


def _fill(host: Host, files: int) -> None:
    """What people have on a server: a large tree in /data, and files beside those that the playbook makes."""
    tree = host.data / "models/kept"
    for number in range(files):
        folder = tree / f"{number // 500:02}"
        if number % 500 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}.bin").write_bytes(f"{host.name} {number}\n".encode())
    (host.data / "inputs").mkdir(exist_ok=True)
    (host.data / "inputs/caf\udce9.txt").write_bytes(b"\xe9\n")
    for name in USER_FILES:
        path = host.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))


def digest(host: Host) -> str:
    """One hash over names and bytes of all that people have on a host."""
    total = hashlib.sha256()
    for top, folders, names in os.walk(host.data):
        folders.sort()
        for name in sorted(names):
            path = Path(top, name)
            total.update(os.fsencode(path.relative_to(host.data)) + b"\0" + path.read_bytes() + b"\0")
    for name in USER_FILES:
        total.update((host.root / name).read_bytes())
    return total.hexdigest()
