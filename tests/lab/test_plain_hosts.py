"""Hosts without systemd: the main job, apps that are killed, and `provision app` alike on both kinds of host."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from test_app import LOCKS, Bench

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/gpu-cluster.yaml"
PORTS = {7860: "img2video", 7861: "sd-webui", 8080: "llama-inference"}
START = "/opt/provision/bin/start-apps"


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    """Two hosts without systemd and one with it; the tests of this module follow one another."""
    own = Lab(f"test-{os.getpid()}-plain")
    try:
        own.up({"gpu": 1, "plain": 2})
        yield own
    finally:
        own.down()


def command(lab: Lab, *argv: str) -> list[str]:
    return [sys.executable, "-m", "provision", *argv, "-i", str(lab.inventory)]


def run(lab: Lab, *argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(lab, *argv), cwd=PROJECT, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def apply(lab: Lab, *argv: str, code: int = 0) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run(lab, "apply", PLAYBOOK, "-y", "-o", "json", *argv, code=code).stdout)
    return result


def status(lab: Lab, *argv: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What is said of apps, by host and app."""
    told = json.loads(run(lab, "app", *argv, "-o", "json", code=code).stdout)
    return {f"{each['host']} {each['name']}": each for each in told["apps"]}


def health(host: Host, port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{host.address}:{port}/health", timeout=5) as answer:
        assert answer.status == 200
        found: dict[str, Any] = json.load(answer)
        return found


def process(host: Host, port: int) -> int:
    """The app's process where it answers, else 0."""
    try:
        return int(health(host, port)["pid"])
    except (OSError, HTTPException):
        return 0


def serves(host: Host, port: int) -> bool:
    return process(host, port) != 0


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill(host: Host, *pids: object) -> None:
    host.run(["kill", "-9", *map(str, pids)])


def keepers(host: Host) -> list[str]:
    """Supervisor, and what starts it again when it is killed."""
    return host.run(["pgrep", "-f", "keep.py|supervisor.supervisord"]).stdout.split()


def test_the_main_job(mixed: Lab) -> None:
    assert apply(mixed, "-l", "plain")["ok"]
    assert apply(mixed, "-t", "llama,nvidia,conda,data", "-l", "systemd")["ok"]
    for host in mixed.hosts[1:]:
        for port, app in PORTS.items():
            said = health(host, port)
            assert (said["app"], said["torch"], said["cuda"]) == (app, "2.0.1", "11.8")
            assert said["provision"]["PROVISION_APP"] == app


def test_a_second_run_changes_nothing_and_starts_nothing(mixed: Lab) -> None:
    before = {(host.name, port): health(host, port)["pid"] for host in mixed.hosts[1:] for port in PORTS}
    assert apply(mixed, "-l", "plain")["changes"] == []
    assert before == {(host.name, port): health(host, port)["pid"] for host in mixed.hosts[1:] for port in PORTS}


def test_apps_survive_kill_9_of_their_processes(mixed: Lab) -> None:
    for host in mixed.hosts[1:]:
        before = {port: health(host, port)["pid"] for port in PORTS}
        kill(host, *before.values())
        until(lambda host=host: all(serves(host, port) for port in PORTS))  # type: ignore[misc]
        assert not {health(host, port)["pid"] for port in PORTS} & set(before.values())
    assert apply(mixed, "-l", "plain")["changes"] == []


def test_apps_survive_kill_9_of_supervisor(mixed: Lab) -> None:
    host = mixed.host("plain-01")
    before = health(host, 7860)["pid"]
    kill(host, host.run(["cat", "/run/provision/supervisord.pid"]).stdout.strip())
    until(lambda: process(host, 7860) not in (0, before))
    until(lambda: all(serves(host, port) for port in PORTS))


@pytest.mark.parametrize("way", ["the entry script", "a login", "apply"])
def test_what_was_killed_whole_comes_back(mixed: Lab, way: str) -> None:
    host = mixed.host("plain-01")
    kill(host, *keepers(host))
    until(lambda: not any(serves(host, port) for port in PORTS))
    if way == "the entry script":
        host.run([START])
        host.run([START])
    elif way == "a login":
        host.run(["sh", "-lc", "true"])
    else:
        changes = {change["task"] for change in apply(mixed, "-l", "plain")["changes"]}
        others = {f"{app} : App serves on port {port}" for port, app in PORTS.items()}  # that are waited for
        assert "img2video : App serves on port 7860" in changes <= others
    until(lambda: all(serves(host, port) for port in PORTS))
    assert len(keepers(host)) == 2


def test_a_changed_configuration_restarts_only_its_app(mixed: Lab) -> None:
    host = mixed.host("plain-02")
    before = {port: health(host, port)["pid"] for port in PORTS}
    changed = apply(mixed, "-l", "plain-02", "-e", "llama_context=8192")["changes"]
    assert {change["task"].partition(" : ")[0] for change in changed} == {"llama-inference"}
    assert {port for port in PORTS if health(host, port)["pid"] != before[port]} == {8080}
    apply(mixed, "-l", "plain-02")


def test_a_crash_loop_is_told_with_its_last_words_and_who_has_the_port(mixed: Lab) -> None:
    host = mixed.host("plain-02")
    program = host.root / "root/llama-inference/server.py"
    whole = program.read_text()
    program.write_text("raise SystemExit('no such model: llama')\n")
    try:
        refused = run(mixed, "app", "restart", "llama-inference", "-l", "plain-02", code=2)
        assert "no such model: llama" in refused.stderr
        assert "with exit status 1" in refused.stderr
        assert "see `/var/log/provision/llama-inference.log`" in refused.stderr
    finally:
        program.write_text(whole)
    run(mixed, "app", "restart", "llama-inference", "-l", "plain-02")
    run(mixed, "app", "stop", "llama-inference", "-l", "plain-02")
    text = "import socket, time; s = socket.create_server(('', 8080)); print('up', flush=True); time.sleep(60)"
    argv = ["nsenter", f"--target={host.pid}", "--mount", "--net", "--pid", "--", "python3", "-c", text]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "up\n"
        held = apply(mixed, "-l", "plain-02", "-t", "llama", code=2)
        assert "the port belongs to `python3` (pid " in json.dumps(held["failures"])
        host.run(["pkill", "-f", "create_server"])
    assert apply(mixed, "-l", "plain-02", "-t", "llama")["ok"]


def test_app_commands_are_alike_on_both_kinds_of_host(mixed: Lab) -> None:
    told = status(mixed, "status", "llama-inference")
    assert sorted(told) == [f"{host.name} llama-inference" for host in mixed.hosts]
    for host in mixed.hosts:
        one = told[f"{host.name} llama-inference"]
        assert (one["state"], one["problem"], one["digest"], one["port"]) == ("running", "", "as wanted", 8080)
        assert one["pid"] == health(host, 8080)["pid"]
        assert one["enabled"] and one["simulated"]
    stopped = status(mixed, "stop", "llama-inference")
    assert {(one["state"], one["pid"], *one["done"]) for one in stopped.values()} == {("stopped", 0, "stop")}
    assert not any(serves(host, 8080) for host in mixed.hosts)
    assert {one["state"] for one in status(mixed, "status", "llama-inference", code=2).values()} == {"stopped"}
    started = run(mixed, "app", "start", "llama-inference").stdout
    assert "running, serves on port 8080, restarts 0, started as wanted, was started  all 3 hosts" in started
    again = status(mixed, "start", "llama-inference")
    assert [one["done"] for one in again.values()] == [[], [], []]
    restarted = status(mixed, "restart", "llama-inference")
    assert all(restarted[key]["pid"] != again[key]["pid"] for key in again)
    assert run(mixed, "app", "status", "no-such-app", code=2).stderr.startswith("no app `no-such-app` ")


def test_logs_are_folded_and_followed(mixed: Lab, tmp_path: Path) -> None:
    plain, other = mixed.host("plain-01"), mixed.host("gpu-01")
    shown = run(mixed, "app", "logs", "llama-inference", "-n", "500")
    assert "llama-inference listens on 0.0.0.0:8080" in shown.stdout
    argv = command(mixed, "app", "logs", "-f", "llama-inference", "-n", "1")
    with (tmp_path / "followed").open("w") as sink:
        follower = subprocess.Popen(argv, cwd=PROJECT, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
    try:
        for host in (plain, other):
            until(lambda host=host: f"{host.name} " in (tmp_path / "followed").read_text())  # type: ignore[misc]
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{host.address}:8080/seen-on-{host.name}", timeout=5)
            seen = re.compile(rf"^{host.name} +\| .*/seen-on-{host.name} ", re.MULTILINE)
            until(lambda seen=seen: bool(seen.search((tmp_path / "followed").read_text())))  # type: ignore[misc]
        begun = time.monotonic()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0
        assert time.monotonic() - begun < 3
        assert "error" not in (tmp_path / "followed").read_text()
    finally:
        follower.kill()
        follower.wait()
    until(lambda: plain.run(["pgrep", "-x", "tail"], check=False).stdout == "")


def test_what_served_before_is_put_back_and_rolled_back_to(mixed: Lab) -> None:
    bench = Bench(mixed.host("plain-01"))
    facts = {"init": "none", "python_path": "/usr/bin/python3"}

    def converge(*steps: tuple[str, dict[str, Any]]) -> list[Any]:
        return bench.agent.converge(*steps, facts=facts)

    def flip(number: int) -> tuple[str, dict[str, Any]]:
        return "conda_flip", {"name": "web", "lock": LOCKS[number]}

    bench.path("/opt/conda/envs/web").unlink()
    settled = bench.settled("one", "two")
    first = [bench.spec("one", 7001), bench.spec("two", 7002), flip(1), settled]
    assert [outcome.error for outcome in converge(*first)] == [None] * 4
    bench.generation(2, LOCKS[2])  # again: a flip removes what never served
    bad = bench.spec("two", 7002, lock=LOCKS[2], command=["python", "-c", "raise SystemExit('torch is missing')"])
    one, two = converge(bench.spec("one", 7001, lock=LOCKS[2]), bad)
    assert one.error is None and one.fields["generation"] == bench.prefix(2)
    assert two.error is not None and "torch is missing" in two.error["cause"]
    assert two.error["hint"] == "what served before was put back and serves again: `one`, `two`"
    assert {bench.served(port)["CONDA_PREFIX"] for port in (7001, 7002)} == {bench.prefix(1)}
    both = [bench.spec("one", 7001, lock=LOCKS[2]), bench.spec("two", 7002, lock=LOCKS[2])]
    assert [outcome.error for outcome in converge(*both, flip(2), settled)] == [None] * 4
    assert {bench.served(port)["CONDA_PREFIX"] for port in (7001, 7002)} == {bench.prefix(2)}
    assert converge(("conda_rollback", {"name": "web"}))[0].error is None
    assert {bench.served(port)["CONDA_PREFIX"] for port in (7001, 7002)} == {bench.prefix(1)}
    for app in ("one", "two"):
        converge(("app", {"name": app, "directory": f"/srv/{app}", "state": "absent"}))


def test_secrets_and_another_user(mixed: Lab) -> None:
    bench = Bench(mixed.host("plain-01"))
    secret = 'hf_"quoted" $HOME `id` \\ end'
    bench.host.run(["useradd", "--create-home", "runner"])
    step = bench.spec("one", 7001, secrets={"HF_TOKEN": secret}, user="runner", variables={"MOTTO": 'a "b" $c %d'})
    made = bench.agent.converge(step, facts={"init": "none"})[0]
    assert made.error is None
    variables = bench.served()
    assert (variables["HF_TOKEN"], variables["USER"], variables["HOME"]) == (secret, "runner", "/home/runner")
    assert variables["MOTTO"] == 'a "b" $c %d'
    assert bench.host.run(["ps", "-o", "user=", "-p", str(made.fields["pid"])]).stdout.strip() == "runner"
    file = bench.path("/var/lib/provision/secrets/one.env")
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)
    texts = [path.read_text() for path in bench.path("/opt/provision/apps").iterdir()]
    assert texts and secret not in "".join(texts)
    bench.agent.converge(("app", {"name": "one", "directory": "/srv/one", "state": "absent"}), facts={"init": "none"})
    assert not file.exists()


def test_an_app_that_leaves_takes_supervisor_along(mixed: Lab, tmp_path: Path) -> None:
    tasks = "".join(f"    - app: {{name: {app}, state: absent}}\n" for app in PORTS.values())
    playbook = tmp_path / "absent.yaml"
    playbook.write_text(f"- hosts: plain\n  become: true\n  tasks:\n{tasks}")
    run(mixed, "apply", str(playbook), "-y", "-l", "plain-02")
    host = mixed.host("plain-02")
    until(lambda: host.run(["pgrep", "-f", "keep.py|supervisord"], check=False).stdout == "")
    assert not any(serves(host, port) for port in PORTS)
    assert list((host.root / "opt/provision/apps").iterdir()) == []
