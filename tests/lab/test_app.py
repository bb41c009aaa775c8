"""Apps on a real systemd: started, watched, restarted for a reason only, and put back when they do not serve."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_host import OnHost, Outcome

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

LOCKS = {1: "a1" * 32, 2: "b2" * 32}
SERVER = """
import json, os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
if os.path.exists("broken"):
    sys.exit("no such model: i2vgen-xl")
time.sleep(float(open("delay").read()) if os.path.exists("delay") else 0)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"environ": dict(os.environ), "prefix": sys.argv[0]}).encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
print("listening", flush=True)
def die():
    print("CUDA out of memory", flush=True)
    os._exit(7)
if os.path.exists("lifetime"):
    threading.Timer(float(open("lifetime").read()), die).start()
HTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""


class Bench:
    """One host with two made-up generations of an environment `web` and the sources of two apps."""

    def __init__(self, host: Host) -> None:
        self.host, self.agent = host, OnHost(host)
        for number, lock in LOCKS.items():
            self.generation(number, lock)
        self.flip(1)
        for app in ("one", "two"):
            self.write(f"/srv/{app}/server.py", SERVER)
            self.write(f"/etc/{app}.json", "{}")

    def path(self, path: str) -> Path:
        return Path(f"{self.host.root}{path}")

    def write(self, path: str, text: str) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def prefix(self, number: int) -> str:
        return f"/opt/conda/envs/.generations/web/{LOCKS[number][:12]}-1"

    def generation(self, number: int, lock: str) -> None:
        prefix = self.prefix(number)
        self.path(f"{prefix}/bin").mkdir(parents=True, exist_ok=True)
        python = self.path(f"{prefix}/bin/python")
        if not python.is_symlink():
            python.symlink_to("/usr/bin/python3")
        self.write(f"{prefix}/.provision/seal.json", json.dumps({"lock": lock}))
        variables = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "CONDA_PREFIX": prefix, "ACTIVATED": "yes"}
        self.write(f"{prefix}/.provision/variables.json", json.dumps(variables))

    def flip(self, number: int) -> None:
        link = self.path("/opt/conda/envs/web")
        link.unlink(missing_ok=True)
        link.symlink_to(f".generations/web/{LOCKS[number][:12]}-1")

    def spec(self, app: str, port: int, **changes: Any) -> tuple[str, dict[str, Any]]:
        spec = {
            "name": app,
            "environment": "web",
            "lock": LOCKS[1],
            "directory": f"/srv/{app}",
            "command": ["python", "server.py", str(port)],
            "port": port,
            "configuration": [f"/etc/{app}.json"],
            "health": {"path": "/health", "start_timeout": 20, "interval": 0.1, "settle": 0},
        }
        return "app", {**spec, **changes}

    def apply(self, app: str = "one", port: int = 7001, check: bool = False, **changes: Any) -> Outcome:
        return self.agent.converge(self.spec(app, port, **changes), check=check)[0]

    def settled(self, *apps: str) -> tuple[str, dict[str, Any]]:
        return "app_settled", {"apps": [{"name": app, "environment": "web", "root": "/opt/conda"} for app in apps]}

    def served(self, port: int = 7001) -> dict[str, Any]:
        text = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1]).read().decode())"
        answer = self.host.run(["python3", "-c", text, f"http://127.0.0.1:{port}/health"]).stdout
        return dict(json.loads(answer)["environ"])

    def shown(self, app: str, name: str) -> str:
        return self.host.run(["systemctl", "show", f"--property={name}", "--value", f"{app}.service"]).stdout.strip()

    def clean(self) -> None:
        for app in ("one", "two"):
            self.agent.converge(("app", {"name": app, "directory": f"/srv/{app}", "state": "absent"}))
            for name in ("broken", "delay", "lifetime"):
                self.path(f"/srv/{app}/{name}").unlink(missing_ok=True)
        for number in LOCKS:
            self.path(f"{self.prefix(number)}/.provision/units.json").unlink(missing_ok=True)
        self.flip(1)


@pytest.fixture(scope="module")
def bench_of_module(lab: Lab) -> Bench:
    return Bench(lab.hosts[0])


@pytest.fixture
def bench(bench_of_module: Bench) -> Iterator[Bench]:
    yield bench_of_module
    bench_of_module.clean()


def test_it_is_started_once_and_then_left_alone(bench: Bench) -> None:
    first = bench.apply(gpus=[1])
    assert first.error is None
    assert first.done[-2:] == ["start process of one", "enable unit of one"]
    second = bench.apply(gpus=[1])
    assert (second.error, second.actions) == (None, [])
    assert second.fields["pid"] == first.fields["pid"] == int(bench.shown("one", "MainPID"))
    assert second.fields["url"] == "http://127.0.0.1:7001/health"
    assert second.fields["generation"] == bench.prefix(1)
    assert second.fields["simulated"] is True


def test_its_process_has_the_variables_of_an_activated_shell_and_its_gpu(bench: Bench) -> None:
    assert bench.apply(gpus=[1], variables={"MOTTO": 'a "b" $c %d \\ e'}).error is None
    variables = bench.served()
    assert variables["ACTIVATED"] == "yes"
    assert variables["CONDA_PREFIX"] == bench.prefix(1)
    assert variables["PATH"].startswith(bench.prefix(1) + "/bin:")
    assert variables["CUDA_VISIBLE_DEVICES"] == "1"
    assert variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert variables["PYTHONNOUSERSITE"] == "1"
    assert variables["MOTTO"] == 'a "b" $c %d \\ e'


def test_a_changed_configuration_restarts_it_and_nothing_else(bench: Bench) -> None:
    before, other = bench.apply(), bench.apply("two", 7002)
    bench.write("/etc/one.json", '{"steps": 50}')
    after = bench.apply()
    assert after.error is None
    assert ("change", "process of one") in [action[:2] for action in after.actions]
    assert after.actions[-1][3] == "started with the wanted configuration\n"
    assert after.fields["pid"] != before.fields["pid"]
    assert bench.apply("two", 7002).actions == []
    assert bench.apply("two", 7002).fields["pid"] == other.fields["pid"]


def test_a_kill_between_unit_and_restart_is_mended(bench: Bench) -> None:
    before = bench.apply()
    bench.write("/etc/one.json", '{"steps": 51}')
    planned = bench.apply(check=True)
    unit = next(action for action in planned.actions if action[1].endswith("one.service"))
    bench.write("/etc/systemd/system/one.service", unit[3] or "")
    again = bench.apply()
    assert again.done == ["change process of one"]
    assert again.fields["pid"] != before.fields["pid"]
    assert bench.served()["PROVISION_DIGEST"] == again.fields["digest"]


def test_a_changed_health_check_restarts_nothing(bench: Bench) -> None:
    before = bench.apply()
    after = bench.apply(health={"path": "/health", "start_timeout": 33})
    assert after.done == ["change /etc/systemd/system/one.service"]
    assert after.fields["pid"] == before.fields["pid"]


def test_who_has_the_port_is_named(bench: Bench) -> None:
    text = "import socket, time; s = socket.create_server(('', 7001)); print('up', flush=True); time.sleep(60)"
    pid = bench.host.pid
    argv = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--", "python3", "-c", text]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "up\n"
            refused = bench.apply()
            assert refused.error is not None
            assert refused.error["summary"] == "app `one` cannot have port 7001"
            assert "`python3` (pid " in refused.error["cause"]
        finally:
            subprocess.run(
                ["nsenter", f"--target={pid}", "--pid", "--mount", "pkill", "-f", "create_server"], check=True
            )
    assert bench.shown("one", "LoadState") == "not-found"


def test_a_slow_start_is_no_failure(bench: Bench) -> None:
    bench.write("/srv/one/delay", "2")
    started = bench.apply()
    assert started.error is None
    assert any(step.get("unit") == "s" for step in started.progress)


def test_a_run_that_comes_while_it_starts_waits_for_it(bench: Bench) -> None:
    bench.write("/srv/one/delay", "3")
    late = bench.apply(health={"path": "/health", "start_timeout": 0.5, "interval": 0.1})
    assert late.error is not None and "after 0.5 s" in late.error["cause"]
    bench.host.run(["systemctl", "start", "one"])
    waited = bench.apply()
    assert waited.error is None
    assert "start process of one" in waited.done


def test_a_first_start_that_crashes_is_stopped_and_says_why(bench: Bench) -> None:
    bench.write("/srv/one/broken", "")
    failed = bench.apply()
    assert failed.error is not None
    assert failed.error["summary"] == "app `one` does not serve"
    assert "no such model: i2vgen-xl" in failed.error["cause"]
    assert "its unit was stopped" in failed.error["hint"]
    assert bench.shown("one", "ActiveState") == "inactive"
    bench.path("/srv/one/broken").unlink()
    assert bench.apply().error is None


def test_a_change_that_does_not_serve_is_put_back(bench: Bench) -> None:
    bench.apply()
    failed = bench.apply(command=["python", "-c", "raise SystemExit('bad flag')"])
    assert failed.error is not None
    assert "bad flag" in failed.error["cause"]
    assert failed.error["hint"] == "what served before was put back and serves again: `one`"
    assert bench.served()["CONDA_PREFIX"] == bench.prefix(1)


def test_an_environment_whose_app_fails_is_put_back_for_all_its_apps(bench: Bench) -> None:
    both = [bench.spec("one", 7001), bench.spec("two", 7002), bench.settled("one", "two")]
    assert [outcome.error for outcome in bench.agent.converge(*both)] == [None] * 3
    bench.write("/srv/two/broken", "")
    one, two = bench.agent.converge(
        bench.spec("one", 7001, lock=LOCKS[2]),
        bench.spec("two", 7002, lock=LOCKS[2], command=["python", "-c", "raise SystemExit('torch is missing')"]),
    )
    assert one.error is None and one.fields["generation"] == bench.prefix(2)
    assert two.error is not None
    assert "torch is missing" in two.error["cause"]
    assert bench.served(7001)["CONDA_PREFIX"] == bench.prefix(1)
    assert "`one`" in two.error["hint"] and "`two` was put back too, but" in two.error["hint"]
    assert two.fields["restored"] == ["one"]
    assert bench.path("/opt/conda/envs/web").readlink().name == LOCKS[1][:12] + "-1"


@pytest.mark.parametrize("lifetime", [0.1, 3, 12])
def test_an_app_that_dies_after_it_answered_is_no_success(bench: Bench, lifetime: float) -> None:
    bench.write("/srv/one/lifetime", str(lifetime))
    health = {"path": "/health", "start_timeout": 20, "interval": 0.05}
    began = time.monotonic()
    started, watched = bench.agent.converge(bench.spec("one", 7001, health=health), bench.settled("one"))
    assert time.monotonic() - began < lifetime + 12
    failed = watched if started.error is None else started
    assert failed.error is not None
    assert "CUDA out of memory" in failed.error["cause"]
    if lifetime > 1:
        assert started.error is None
        assert failed.error["summary"] == "app `one` does not stay up"
        assert failed.error["cause"].startswith("`one`: its process ended after it had answered")
        assert failed.error["hint"].startswith("its unit was stopped")
    assert bench.shown("one", "ActiveState") in ("inactive", "failed")
    bench.path("/srv/one/lifetime").unlink()
    assert bench.apply().error is None


def test_apps_are_watched_together_and_what_stayed_up_before_is_put_back(bench: Bench) -> None:
    young = {"path": "/health", "start_timeout": 20, "interval": 0.1, "settle": 4}
    both = [bench.spec("one", 7001, health=young), bench.spec("two", 7002, health=young), bench.settled("one", "two")]
    one, two, watched = bench.agent.converge(*both)
    assert [one.error, two.error, watched.error] == [None] * 3
    assert watched.fields["watched"] == ["one", "two"]
    assert 2 < watched.seconds < 5.5
    again = bench.agent.converge(*both)[-1]
    assert (again.fields["watched"], again.actions) == ([], [])
    assert again.seconds < 0.1

    bench.write("/srv/two/lifetime", "1.5")
    worse = bench.spec("two", 7002, health=young, variables={"MOTTO": "worse"})
    one, two, watched = bench.agent.converge(both[0], worse, both[2])
    assert (one.error, two.error) == (None, None)
    assert watched.error is not None
    assert watched.error["summary"] == "app `two` does not stay up"
    assert "put back" in watched.error["hint"]
    assert "MOTTO" not in bench.path("/etc/systemd/system/two.service").read_text()
    assert bench.shown("one", "ActiveState") == "active"


def test_a_generation_on_which_an_app_dies_is_left_again(bench: Bench) -> None:
    def flip(number: int) -> tuple[str, dict[str, Any]]:
        return "conda_flip", {"name": "web", "lock": LOCKS[number]}

    bench.path("/opt/conda/envs/web").unlink()
    young = {"path": "/health", "start_timeout": 20, "interval": 0.1, "settle": 3}
    first = [bench.spec("one", 7001, health=young), flip(1), bench.settled("one")]
    assert [outcome.error for outcome in bench.agent.converge(*first)] == [None] * 3
    bench.generation(2, LOCKS[2])
    dying = ["python", "-c", "exec(open('server.py').read().replace('\"lifetime\"', '\"lifetime2\"'))", "7001"]
    bench.write("/srv/one/lifetime2", "1")
    second = [bench.spec("one", 7001, lock=LOCKS[2], health=young, command=dying), flip(2), bench.settled("one")]
    app, link, watched = bench.agent.converge(*second)
    assert (app.error, link.error) == (None, None)
    assert watched.error is not None
    assert watched.error["hint"] == "what served before was put back and serves again: `one`"
    assert bench.path("/opt/conda/envs/web").readlink().name == LOCKS[1][:12] + "-1"
    assert bench.served()["CONDA_PREFIX"] == bench.prefix(1)
    bench.path("/srv/one/lifetime2").unlink()


def test_secrets_are_in_one_file_that_only_root_reads(bench: Bench) -> None:
    secret = 'hf_"quoted" $HOME `id` \\ end'
    made = bench.apply(secrets={"HF_TOKEN": secret})
    assert made.error is None
    assert bench.served()["HF_TOKEN"] == secret
    file = bench.path("/var/lib/provision/secrets/one.env")
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)
    assert secret not in bench.path("/etc/systemd/system/one.service").read_text()
    assert secret not in bench.path("/srv/one/bin/start_one.sh").read_text()
    assert "hf_" not in json.dumps(made.actions)
    changed = bench.apply(secrets={"HF_TOKEN": "another"})
    assert changed.actions[-1][3] == "started with the wanted secrets\n"


def test_people_can_start_it_by_its_script(bench: Bench) -> None:
    bench.apply(secrets={"HF_TOKEN": "hf 'x' $y"}, variables={"MOTTO": "it's"})
    taken = bench.host.run(["/srv/one/bin/start_one.sh"], check=False)
    assert taken.returncode == 1 and "port 7001 is taken" in taken.stderr
    bench.host.run(["systemctl", "stop", "one"])
    with subprocess.Popen(["nsenter", f"--target={bench.host.pid}", "--mount", "--net", "--pid", "--",
                           "/srv/one/bin/start_one.sh"], stderr=subprocess.PIPE, text=True) as script:  # fmt: skip
        try:
            assert script.stderr is not None
            log = script.stderr.readline().strip()
            bench.host.run(
                ["sh", "-c", "for i in $(seq 50); do grep -q listening $0 && exit 0; sleep 0.1; done; exit 1", log]
            )
            variables = bench.served()
        finally:
            bench.host.run(["pkill", "-f", "^/opt/conda/envs/.generations/.*server.py"])
    assert variables["MOTTO"] == "it's"
    assert variables["HF_TOKEN"] == "hf 'x' $y"
    assert variables["CONDA_PREFIX"] == bench.prefix(1)
    assert bench.path(log).exists()


def test_stopped_and_absent_keep_the_data(bench: Bench) -> None:
    bench.apply()
    stopped = bench.agent.converge(("app", {"name": "one", "state": "stopped"}))[0]
    assert stopped.done == ["stop process of one", "change unit of one"]
    assert bench.agent.converge(("app", {"name": "one", "state": "stopped"}))[0].actions == []
    absent = ("app", {"name": "one", "directory": "/srv/one", "state": "absent"})
    assert [action[0] for action in bench.agent.converge(absent)[0].actions] == ["remove", "remove"]
    assert bench.agent.converge(absent)[0].actions == []
    assert bench.path("/srv/one/server.py").exists()


def test_a_plan_for_an_environment_that_is_not_built_yet(bench: Bench) -> None:
    bench.apply()
    step = bench.spec("one", 7001, lock="c3" * 32)
    refused = bench.agent.converge(step, check=True)[0]
    assert refused.error is not None and refused.error["summary"] == "app `one` has no environment to run in"
    planned = bench.agent.converge(step, check=True, pending=("/opt/conda/envs/web",))[0]
    assert planned.done == ["change process of one"]
    assert planned.actions[0][3] == "generation: the one of lock c3c3c3c3c3c3, known after apply\n"


def test_two_right_apps_are_seen_in_milliseconds(bench: Bench) -> None:
    steps = bench.spec("one", 7001), bench.spec("two", 7002)
    assert [outcome.error for outcome in bench.agent.converge(*steps)] == [None, None]
    best = min(sum(outcome.seconds for outcome in bench.agent.converge(*steps)) for _ in range(3))
    assert best < 0.06


def test_a_unit_that_is_not_ours_is_refused(bench: Bench) -> None:
    refused = bench.apply("ssh", 7001, directory="/srv/one", configuration=[])
    assert refused.error is not None
    assert "ssh.service` is a unit that provision did not make" in refused.error["cause"]
