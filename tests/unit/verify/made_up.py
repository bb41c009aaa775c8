"""A fleet that never was: fifty hosts with findings of every kind, among them what a hostile host might send."""

from __future__ import annotations

from typing import Any

from provision.verify.ladder import RUNGS, Finding, HostVerdict, Verdict, judge

NOW = 1_795_600_000.0
EVIL = "<script>alert(1)</script>\"' \x1b[31mred\x1b[0m & ]]> \x00"
GPU = {
    "driver": "535.104.05",
    "cuda": "12.2",
    "simulated": True,
    "devices": [{"index": index, "name": "NVIDIA A10"} for index in range(4)],
}
FACTS: dict[str, Any] = {
    "os": {"id": "debian", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)"},
    "kernel": "6.1.0-18-amd64",
    "python": "3.11.2",
    "glibc": "2.36",
    "cpus": 32,
    "memory_mb": 257_000,
    "gpu": GPU,
    "simulated": True,
}
MEND = "provision apply play.yaml -l {}"


def right() -> list[Finding]:
    """One ok finding a rung."""
    return [Finding(rung, f"{rung}.check", "ok", f"{rung} is fine") for rung in RUNGS]


def edited(host: str) -> Finding:
    return Finding(
        "environments",
        "environments.files",
        "failed",
        "`lib/python3.10/site-packages/torch/__init__.py` was edited",
        subject="img2video-torch20-cu118",
        detail={"where": "roles/img2video/tasks/main.yaml:1:3", "files": ["lib/a.py", "lib/b.py"]},
        since=NOW - 7300,
        mend=MEND.format(host),
    )


def stopped(host: str) -> Finding:
    return Finding("apps", "apps.state", "failed", "its unit is stopped", "web", mend=MEND.format(host))


def configured(host: str) -> Finding:
    detail = {"task": "web : Configured", "differs": ["-port 80", "+port 81"], "drift": True}
    words = "`/etc/web.conf` is not as the playbook says"
    return Finding(
        "configuration", "configuration.file", "failed", words, "/etc/web.conf", detail, None, MEND.format(host)
    )


def busy() -> Finding:
    return Finding("compute", "compute.product", "skipped", "busy: not probed", "GPU-1", {"simulated": True})


def orphan() -> Finding:
    return Finding(
        "apps", "apps.orphan", "warning", "no play names the app", "old", since=NOW - 86400 * 9, mend="remove it"
    )


def evil() -> Finding:
    return Finding(
        "system",
        "system.mount",
        "failed",
        f"`{EVIL}` does not answer",
        EVIL,
        {"where": EVIL, EVIL: EVIL, "list": [EVIL] * 9, "map": {EVIL: EVIL}},
        NOW - 5,
        EVIL,
    )


def host(name: str, *findings: Finding, **more: Any) -> HostVerdict:
    """A host where all is well but for these findings."""
    options = {"seconds": 1.5, "facts": FACTS, "simulated": True, **more}
    return judge(name, [*right(), *findings], **options)


def lost(name: str) -> HostVerdict:
    words = f"`{name}` refused the connection"
    refused = Finding("reachable", "reachable.connection", "failed", words, detail={"cause": "port 22"})
    return judge(name, [refused], unreachable=True)


def healthy(count: int = 50) -> Verdict:
    names = [f"gpu-{number:02}" for number in range(1, count + 1)]
    return Verdict("play.yaml", tuple(host(name) for name in names), seconds=4.2, time=NOW)


def fleet() -> Verdict:
    """Fifty hosts, eight of them not as they should be, one not to be reached."""
    verdicts = []
    for number in range(1, 51):
        name = f"gpu-{number:02}"
        found = [busy()] if number in (30, 31) else []
        if number in (3, 4, 5, 9):
            found.append(edited(name))
        elif number in (12, 13):
            found += [configured(name), orphan()]
        elif number == 20:
            found.append(stopped(name))
        elif number == 40:
            found.append(evil())
        verdicts.append(lost(name) if number == 50 else host(name, *found))
    return Verdict("play.yaml", tuple(verdicts), seconds=6.5, time=NOW)
