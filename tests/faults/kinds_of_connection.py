"""Faults of the network, of sshd, of the host as a whole, of the agent and of the control process."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request
from collections.abc import Iterator

from fault_kinds import Trial, kind
from fault_site import CONFIGURATION, HIT, LOCK_IS_FREE, PORT, WRITTEN

from provision.lab.processes import run
from provision.lab.relay import Relay, relay

LOST = r"lost the connection|was silent for|ended the connection|did not (finish|start)|opened no session|cannot reach"
ALL_THROUGH = {0: "", 4: LOST}


def _through(trial: Trial, own: Relay) -> None:
    """Reach the host that is hit through a relay, under its own key."""
    site = trial.site
    known = site.lab.state.known_hosts.read_text() + f"[127.0.0.1]:{own.port} {site.hit.public_key()}\n"
    trial.inventory = site.inventory({"ansible_host": "127.0.0.1", "ansible_port": own.port}, known)


def _unanswered(trial: Trial) -> Iterator[None]:
    """Packets to the host vanish, while this machine still knows where to send them."""
    lab, host = trial.site.lab, trial.site.hit
    hardware = f"02:77:{lab.record.subnet:02x}:00:00:{host.host.octet:02x}"
    where = ["dev", lab.record.device]
    run(["ip", "neigh", "replace", host.address, "lladdr", hardware, "nud", "permanent", *where])
    host.cut()
    try:
        yield
    finally:
        host.mend()
        run(["ip", "neigh", "del", host.address, *where])


@kind("connection refused", "before", {4: "refused"}, rebuild=False, noticed=2)
def connection_refused(trial: Trial) -> Iterator[None]:
    trial.shell("systemctl stop ssh")
    yield
    trial.shell("systemctl start ssh")
    trial.site.hit.wait()


@kind("connect into a black hole", "before", {4: "within 10 s"}, rebuild=False, noticed=12)
def black_hole(trial: Trial) -> Iterator[None]:
    yield from _unanswered(trial)


@kind("host key changed", "before", {4: f"host key of {HIT} has changed"}, rebuild=False)
def host_key_changed(trial: Trial) -> Iterator[None]:
    site = trial.site
    text = site.lab.state.known_hosts.read_text()
    trial.inventory = site.inventory(known=text.replace(site.hit.public_key(), site.other.public_key()))
    yield


@kind("crash of the host", "during", ALL_THROUGH, noticed=30)
def crash(trial: Trial) -> Iterator[None]:
    trial.site.hit.kill()
    yield
    trial.site.hit.start()


@kind("cable cut", "during", ALL_THROUGH, noticed=30)
def cable_cut(trial: Trial) -> Iterator[None]:
    yield from _unanswered(trial)


@kind("1 kbit/s link for 8 s", "during", ALL_THROUGH, moment="prepared")
def slow_link(trial: Trial) -> Iterator[None]:
    with relay(trial.site.hit.address) as own:
        _through(trial, own)

        def strike() -> None:
            own.rate = 125.0
            trial.under_way.wait_for(lambda event: False, 8)
            own.rate = 0.0

        trial.strike = strike
        yield


@kind("latency of 0.3 s", "before", {0: ""})
def latency(trial: Trial) -> Iterator[None]:
    with relay(trial.site.hit.address) as own:
        own.delay = 0.15
        _through(trial, own)
        yield


@kind("connection reset", "during", ALL_THROUGH, noticed=30, moment="prepared")
def reset(trial: Trial) -> Iterator[None]:
    with relay(trial.site.hit.address) as own:
        _through(trial, own)
        trial.strike = own.reset
        yield


@kind("agent killed", "during", ALL_THROUGH, noticed=30)
def agent_killed(trial: Trial) -> Iterator[None]:
    holder = trial.site.holder()
    if holder:
        trial.shell(f"kill -9 {holder}", check=False)
        _lock_freed(trial, 1)
    yield


@kind("agent stopped", "during", ALL_THROUGH, noticed=36)
def agent_stopped(trial: Trial) -> Iterator[None]:
    holder = trial.site.holder()
    if holder:
        trial.shell(f"kill -STOP {holder}", check=False)
    yield
    if holder:
        trial.shell(f"kill -CONT {holder}", check=False)


@kind("sshd stopped", "during", ALL_THROUGH, noticed=30)
def sshd_stopped(trial: Trial) -> Iterator[None]:
    trial.shell("systemctl stop ssh")
    yield
    trial.shell("systemctl start ssh")
    trial.site.hit.wait()


@kind("sshd and its sessions killed", "during", ALL_THROUGH, noticed=30)
def sshd_killed(trial: Trial) -> Iterator[None]:
    trial.shell("systemctl kill --kill-who=all --signal=KILL ssh")
    yield
    trial.shell("systemctl reset-failed ssh; systemctl restart ssh")
    trial.site.hit.wait()


@kind("control process killed", "during", {-9: "", 0: ""})
def control_killed(trial: Trial) -> Iterator[None]:
    trial.under_way.process.kill()
    trial.under_way.process.wait()
    _lock_freed(trial, 10)
    yield


@kind("Ctrl-C", "during", {130: "", 0: ""})
def ctrl_c(trial: Trial) -> Iterator[None]:
    running = trial.under_way.process
    begun = time.monotonic()
    running.send_signal(signal.SIGINT)
    running.wait(30)
    trial.within("control returned", time.monotonic() - begun, 2)
    _lock_freed(trial, 10)
    yield


@kind(
    "killed between a configuration and its restart",
    "during",
    {-9: "", 0: ""},
    rebuild=False,
    moment=WRITTEN,
    stale=True,
)
def killed_before_restart(trial: Trial) -> Iterator[None]:
    """What the app runs with afterwards must be what the file says."""
    trial.under_way.process.kill()

    def proof() -> None:
        written = json.loads((trial.site.hit.root / CONFIGURATION.lstrip("/")).read_text())
        address = f"http://{trial.site.hit.address}:{PORT}/health"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert json.load(answer)["configuration"] == written, "the app runs on another configuration"

    trial.proof = proof
    yield


@kind("two operators", "during", {0: ""})
def two_operators(trial: Trial) -> Iterator[None]:
    """The second is refused, told by whom; the first does not notice."""
    locked = trial.site.hit.run(LOCK_IS_FREE, check=False).returncode
    second = trial.site.start("-l", HIT, "-e", "llama_context=8192")
    code = second.end(120)
    said = second.said(HIT)
    first = trial.under_way.process.poll()
    if locked and first is None and not (code in (2, 4) and re.search(r"another run|holds|locked|held by", said)):
        trial.problems.append(f"the second operator got exit code {code}: {said[-600:]}")
    if code == 0:
        trial.rerun = ["-e", "llama_context=8192"]
    yield


def _lock_freed(trial: Trial, limit: float) -> None:
    free = trial.site.lock_free_after(45)
    trial.within("lock free", 45.0 if free is None else free, limit)
