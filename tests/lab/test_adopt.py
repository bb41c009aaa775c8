"""A server made by hand is adopted: environments, servers and links, with an empty plan; the rest has its mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_channel import INSTALL

from provision.lab import channel
from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.lab.inventory import url

pytestmark = pytest.mark.lab

CONDA = ["python=3.11", "pip", "numpy=1.26.4"]
PIP = {"chat-torch20": ["fastapi==0.103.2", "uvicorn==0.32.0"], "draw-torch20": ["safetensors==0.4.5"]}
SECRET = "hf_aVeryLongSecretOfThisTest"
ADOPT = ("adopt", "gpu-01", "-o")
ROOT = "/srv/conda"
SAME_PATH = f'mount -t tmpfs tmpfs /srv && mkdir {ROOT} && mount --bind "$0" {ROOT} && exec "$@"'
SERVER = """
import http.server, sys
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def provision(*argv: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "provision", *argv],
        cwd=cwd, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    own = Lab(f"test-{os.getpid()}-adopt")
    try:
        own.up({"gpu": 1})
        yield own
    finally:
        own.down()


@pytest.fixture(scope="module")
def host(fleet: Lab, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Two environments, two servers by nohup, links into /data; and three things that no playbook can say."""
    made = fleet.host("gpu-01")
    cache = tmp_path_factory.mktemp("cache")
    for name, packages in PIP.items():
        _environment(fleet, made, cache, name, packages)
    made.run(["mkdir", "-p", "/srv/chat", "/srv/draw", "/root/.cache-of-chat"])
    for folder in ("chat", "draw"):
        (made.root / f"srv/{folder}/server.py").write_text(SERVER)
    made.run(["ln", "-s", "/data/models", "/srv/chat/models"])
    made.run(["ln", "-s", "../../data/models", "/srv/draw/models"])
    made.run(["ln", "-s", "/data/lost", "/srv/draw/lost"])
    (made.root / "srv/draw" / os.fsdecode(b"no-utf8-\xff")).symlink_to("/data/models")
    _start(
        made,
        "chat",
        "chat-torch20",
        "server.py 7001",
        HF_TOKEN=SECRET,
        HF_HOME="/data/{{ models }}",
        CUDA_VISIBLE_DEVICES="0",
    )
    _start(made, "draw", "draw-torch20", "server.py 7002", CUDA_VISIBLE_DEVICES="1")
    _start(made, "draw", "draw-torch20", f"server.py 7003 --api-key {SECRET}", CUDA_VISIBLE_DEVICES="")
    old = made.root / ROOT.lstrip("/") / "envs/old-torch20/conda-meta"
    old.mkdir(parents=True)
    (old / "python-2.7.json").write_text(
        '{"name": "python", "version": "2.7.1", "build": "0", "channel": "conda-forge"}'
    )
    unit = f"[Service]\nWorkingDirectory=/srv/draw\nExecStart={ROOT}/envs/draw-torch20/bin/python server.py 7004\n"
    (made.root / "etc/systemd/system/paint.service").write_text(unit)
    made.run(["systemctl", "start", "paint"])
    for port in (7001, 7002, 7003, 7004):
        _listens(made, port)
    return made


def _environment(lab: Lab, host: Host, cache: Path, name: str, packages: list[str]) -> None:
    """The conda part by rattler, at the path that it has on the host; then the host's own pip."""
    channels = [url(lab.record, f"conda/{each}") for each in channel.CHANNELS]
    (host.root / ROOT.lstrip("/") / "envs").mkdir(parents=True, exist_ok=True)
    arguments = json.dumps([channels, CONDA, "12.2", f"{ROOT}/envs/{name}", str(cache)])
    place = ["unshare", "--mount", "sh", "-c", SAME_PATH, str(host.root / ROOT.lstrip("/"))]
    argv = [*place, sys.executable, "-c", INSTALL, arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pip = [f"{ROOT}/envs/{name}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    place = ["--index-url", url(lab.record, "simple"), "--trusted-host", lab.record.gateway]
    host.run([*pip, *place, *packages], timeout=120)


def _start(host: Host, folder: str, name: str, words: str, **variables: str) -> None:
    own = " ".join(f"{key}='{value}'" for key, value in variables.items())
    python = f"{ROOT}/envs/{name}/bin/python"
    host.run(["sh", "-c", f"cd /srv/{folder} && {own} nohup {python} {words} > /tmp/log-{words.split()[1]} 2>&1 &"])


def _listens(host: Host, port: int) -> None:
    deadline = time.monotonic() + 10
    while f":{port}" not in host.run(["ss", "-ltn"]).stdout:
        assert time.monotonic() < deadline, f"nothing listens on {port}"
        time.sleep(0.1)


def _seen(host: Host) -> str:
    """Every file of the host that adopting could touch, with its times; and the processes that run."""
    looked = ["find", ROOT, "/srv", "/etc", "/data", "-xdev", "-printf", "%p %s %T@ %C@\\n"]
    return host.run(looked).stdout + host.run(["pgrep", "-f", "server.py"]).stdout


def test_adopt_then_plan_shows_nothing(fleet: Lab, host: Host, tmp_path: Path) -> None:
    before, target = _seen(host), tmp_path / "adopted"
    done = provision(*ADOPT, str(target), "--root", ROOT, "--format", "json", "-i", str(fleet.inventory), cwd=tmp_path)
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["environments"]] == ["chat-torch20", "draw-torch20"]
    apps = [(app["name"], app["port"], app["gpus"], app["started_by"]) for app in report["apps"]]
    assert sorted(apps) == [
        ("chat", 7001, ["0"], "hand"),
        ("draw", 7002, ["1"], "hand"),
        ("paint", 7004, [], "systemd"),
    ]
    assert [link["path"] for link in report["links"]] == ["/srv/chat/models", "/srv/draw/models"]
    assert report["secrets"] == [{"app": "chat", "name": "HF_TOKEN", "variable": "chat_hf_token"}]
    old, secret, gpus, lost, unwritable = report["left"]
    assert "/srv/draw/no-utf8-" in unwritable["what"] and "rename it" in unwritable["mend"]
    assert "old-torch20" in old["what"] and "cannot be locked" in old["why"] and "not-taken-over/" in old["mend"]
    assert (target / "not-taken-over/old-torch20/environment.yml").exists()
    assert "7003" in secret["what"] and "a secret (API_KEY)" in secret["why"] and "variable" in secret["mend"]
    assert gpus["what"] == "GPUs of app `paint`" and "`gpus`" in gpus["mend"]
    assert "/srv/draw/lost" in lost["what"] and "/data/lost" in lost["why"] and lost["mend"]
    written = [path for path in target.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET in path.read_text()] and SECRET not in done.stdout + done.stderr
    plan = provision("plan", "playbook.yaml", "--detailed-exitcode", cwd=target)
    assert _seen(host) == before, "adopt or plan changed the host"
    assert "changed" not in plan.stdout
    provision("apply", "playbook.yaml", "-y", cwd=target)
    assert _seen(host) == before, "apply changed what it had accepted"
    provision(*ADOPT, str(target), "-i", str(fleet.inventory), cwd=tmp_path, code=1)


def test_a_server_that_ended_becomes_a_unit_once_its_secret_has_a_value(fleet: Lab, host: Host, tmp_path: Path) -> None:
    target = tmp_path / "adopted"
    provision(*ADOPT, str(target), "-i", str(fleet.inventory), cwd=tmp_path)
    host.run(["pkill", "-f", "server.py 7001"])
    refused = provision("apply", "playbook.yaml", "-y", cwd=target, code=2)
    assert "`HF_TOKEN` has no value" in refused.stdout + refused.stderr
    (target / "host_vars/gpu-01.yaml").write_text(f"chat_hf_token: {SECRET}\n")
    provision("apply", "playbook.yaml", "-y", cwd=target)
    assert host.run(["systemctl", "is-active", "chat.service"]).stdout.strip() == "active"
    provision("plan", "playbook.yaml", "--detailed-exitcode", cwd=target)
