"""The parts of `verify`'s looks that need no host: findings and the ladder, mounts, clocks, space, packages, files."""

from __future__ import annotations

import calendar
import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.agent import seal
from provision.agent.forked import within_all
from provision.agent.mounts import Mount, is_kind, on_network, parse, under
from provision.agent.resources import load, verify_environment, verify_shared_data, verify_system, verify_traces
from provision.agent.system import System
from provision.agent.verify import environments, host, made, prefix, product, shared_data, traces
from provision.agent.verify.finding import RUNGS, climb, failed, ok, reached, skipped, warning

LOCK = "ab" * 32
MOUNTS = r"""/dev/sda1 / ext4 rw,relatime 0 0
filer:/export/a /data nfs4 rw,vers=4.2 0 0
tmpfs /data/local\040disk tmpfs rw 0 0
filer:/export/b /models nfs ro 0 0
me /home/me/sshfs fuse.sshfs rw 0 0
"""


def system(**options: Any) -> System:
    return System(blob=str, **options)


# --- findings


def test_a_finding_has_one_form() -> None:
    found = failed("apps.port", "two\nlines", "web", "stop it", 12.9, many=list(range(25)))
    assert found == {
        "rung": "apps",
        "check": "apps.port",
        "status": "failed",
        "subject": "web",
        "summary": "two lines",
        "detail": {"many": [*range(20), "and 5 more"]},
        "since": 12,
        "mend": "stop it",
    }
    assert [one("system.x", "y")["status"] for one in (ok, warning, skipped)] == ["ok", "warning", "skipped"]


def test_behind_a_broken_rung_nothing_is_looked_at() -> None:
    here = system()
    assert climb(here, "system", lambda: [warning("system.disk", "x")])
    assert climb(here, "environments", lambda: [failed("environments.files", "x")])
    assert climb(here, "environments", lambda: [failed("environments.lock", "of another one")])
    assert [reached(here, rung) for rung in RUNGS] == [True] * 4 + [False] * 5
    assert climb(here, "apps", lambda: pytest.fail("it looked")) == []


@pytest.mark.parametrize("word", ["system", "driver", "environment", "imports", "compute", "shared_data", "app"])
def test_every_look_only_looks(word: str) -> None:
    module = load(f"verify_{word}")
    assert not hasattr(module, "apply") and not hasattr(module, "probe")
    assert module.Spec.__doc__ and "Check" in module.Spec.__doc__


# --- the host


def test_mounts_are_read() -> None:
    known = parse(MOUNTS)
    assert known[2].point == "/data/local disk"
    assert [mount.network for mount in known] == [False, True, False, True, True]
    assert [mount.read_only for mount in known] == [False, False, False, True, False]
    assert under("/data/x", known) == known[1]
    assert under("/data/local disk/x", known) == known[2]
    assert under("/database", known) == known[0]
    # the way to the local disk leads through the server's
    assert [on_network(path, known) for path in ("/data/local disk/x", "/srv", "/home/me/sshfs")] == [True, False, True]
    assert [is_kind("nfs4", "nfs"), is_kind("fuse.sshfs", "fuse"), is_kind("ext4", ""), is_kind("ext4", "nfs")] == [
        *(True, True, True, False)
    ]


@pytest.mark.parametrize(
    ("off", "words"), [(0.0, ""), (4.9, ""), (90.0, "the clock is 90 s ahead"), (-90.0, "the clock is 90 s behind")]
)
def test_clocks(off: float, words: str) -> None:
    (found,) = host.clock(1000.0, 1000.0 + off, 5.0)
    assert (found["summary"] if found["status"] == "failed" else "") == words


def test_a_clock_that_nobody_compares_is_not_judged() -> None:
    assert host.clock(0.0, 1000.0, 5.0) == []


def test_memory() -> None:
    text = "MemTotal:       32768000 kB\nMemFree: 1 kB\nMemAvailable:     102400 kB\n"
    (found,) = host.memory(text, 256)
    assert found["summary"] == "100 MiB of memory are available, 256 at least are wanted"
    assert host.memory(text, 50)[0]["status"] == "ok"


def test_space() -> None:
    def found(**changes: int) -> dict[str, Any]:
        whole = {"f_bavail": 1000, "f_frsize": 4096, "f_blocks": 2000, "f_files": 10, "f_favail": 5, **changes}
        return host.space("/data", SimpleNamespace(**whole), 1 << 20, "system.disk")  # type: ignore[arg-type]

    assert found()["status"] == "ok"
    assert found(f_bavail=10)["summary"] == "0 MiB are free at `/data`, 1 MiB at least are wanted"
    assert found(f_favail=0)["summary"] == "no file can be made at `/data`: its file system has no inode left"
    assert found(f_files=0, f_favail=0)["status"] == "ok"


def test_this_host(tmp_path: Path) -> None:
    spec = verify_system.Spec(
        time=time.time(), disks={str(tmp_path / "not/there/yet"): 1, "/": 1 << 62}, mounts={"/proc": "", "/nowhere": ""}
    )
    found = {(one["check"], one["subject"]): one for one in verify_system.observe(spec, system()).findings}
    assert found["system.clock", ""]["status"] == "ok"
    assert found["system.disk", str(tmp_path / "not/there/yet")]["status"] == "ok"
    assert found["system.disk", "/"]["status"] == "failed"
    assert found["system.mount", "/proc"]["status"] == "ok"
    assert found["system.mount", "/nowhere"]["summary"] == "nothing is mounted at `/nowhere`"


def test_a_mount_of_a_user_is_theirs_unless_it_hangs() -> None:
    spec = verify_system.Spec(mounts={"/data": ""})
    own, data = Mount("me", "/home/me/x", "fuse.sshfs", []), Mount("filer:/a", "/data", "nfs4", [])

    def status(mount: Mount, answer: Exception) -> str:
        return str(host._answered(mount, answer, spec)["status"])

    broken = OSError(107, "Transport endpoint is not connected")
    assert [status(own, one) for one in (PermissionError(), broken, TimeoutError())] == ["ok", "warning", "failed"]
    assert [status(data, one) for one in (PermissionError(), broken, TimeoutError())] == ["failed"] * 3


def test_children_are_asked_at_once_and_given_up() -> None:
    began = time.monotonic()
    answers = within_all(
        0.4,
        {
            "slow": lambda: time.sleep(30),
            "too": lambda: time.sleep(30),
            "quick": lambda: 1,
            "bad": Path("/x").stat,
        },
    )
    assert time.monotonic() - began < 2
    assert answers["quick"] == 1
    assert [type(answers[name]) for name in ("slow", "too", "bad")] == [TimeoutError, TimeoutError, FileNotFoundError]


# --- environments


def prefix_of_two(root: Path) -> Path:
    """An environment as `conda_env` would accept it: a real directory with one package of conda and one of pip."""
    path = root / "envs" / "web"
    site = path / "lib/python3.11/site-packages"
    files = {f"{site.relative_to(path)}/numpy/__init__.py": b"x = 1\n", "bin/tool": b"#!/bin/sh\n"}
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    paths = [{"_path": name, "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()]
    record = {"name": "numpy", "version": "1.26.4", "build": "0", "files": list(files), "paths_data": {"paths": paths}}
    (path / "conda-meta").mkdir()
    (path / "conda-meta/numpy-1.26.4-0.json").write_text(json.dumps(record))
    (site / "requests-2.31.0.dist-info").mkdir()
    (site / "requests-2.31.0.dist-info/METADATA").write_text("Name: requests\n")
    (site / "requests-2.31.0.dist-info/RECORD").write_text("requests-2.31.0.dist-info/METADATA,,\n")
    listing = [
        {"kind": "conda", "name": "numpy", "version": "1.26.4", "build": "0"},
        {"kind": "pip", "name": "requests", "version": "2.31", "build": ""},
    ]
    (root / "listing").write_text(json.dumps(listing))
    return path


def look(root: Path, **spec: Any) -> dict[str, dict[str, Any]]:
    wanted = verify_environment.Spec(name="web", lock=LOCK, root=str(root), listing_blob=str(root / "listing"), **spec)
    return {one["check"]: one for one in verify_environment.observe(wanted, system()).findings}


def test_a_directory_that_holds_the_lock_is_right(tmp_path: Path) -> None:
    path = prefix_of_two(tmp_path)
    found = look(tmp_path, deep=True)
    assert {check: one["status"] for check, one in found.items()} == {
        **dict.fromkeys(["environments.lock", "environments.packages", "environments.files"], "ok"),
        "environments.unowned": "ok",
        "environments.base": "skipped",
    }
    (path / "bin/tool").write_text("#!/bin/sh\nrm -rf /\n")
    (path / "lib/extra.so").write_text("")
    deep = look(tmp_path, deep=True)
    assert deep["environments.files"]["detail"]["files"] == ["damaged: bin/tool"]
    assert deep["environments.unowned"]["detail"]["files"] == ["added: lib/extra.so"]
    (path / "bin/tool").unlink()
    assert look(tmp_path)["environments.files"]["detail"]["files"] == ["missing: bin/tool"]


def test_a_package_of_pip_in_another_version(tmp_path: Path) -> None:
    path = prefix_of_two(tmp_path)
    site = path / "lib/python3.11/site-packages"
    (site / "requests-2.31.0.dist-info").rename(site / "requests-2.32.1.dist-info")
    found = look(tmp_path)["environments.packages"]
    assert found["detail"]["packages"] == ["another version: requests 2.32.1 (locked is 2.31)"]


def test_an_environment_that_is_not_there_or_leads_away(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    link = tmp_path / "envs/web"
    assert look(tmp_path)["environments.lock"]["summary"] == f"`{link}` is not there"
    link.symlink_to("/usr")
    assert (
        look(tmp_path)["environments.lock"]["summary"] == f"`{link}` leads to `/usr`, which is none of its generations"
    )


def test_the_seal_sees_a_file_that_was_edited_in_place(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / ".provision").mkdir()
    file = tmp_path / "lib/x.py"
    file.write_text("x = 1\n")
    seal.write(system(), str(tmp_path), {"lock": LOCK})
    assert seal.differences(system(), str(tmp_path), "files") == ([], [])
    file.write_text("x = 2\n")
    os.utime(file, (1, 1))
    assert seal.differences(system(), str(tmp_path), "seal") == ([], [])
    assert seal.differences(system(), str(tmp_path), "files") == (["changed: lib/x.py"], [])


def test_traces(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    found = traces.of_files(str(tmp_path), ["a", "gone/b"])
    assert found.since is not None and abs(found.since - time.time()) < 20
    assert found.by == [traces.user_name(os.geteuid())]
    assert traces.user_name(4_000_000) == "4000000"
    folder = tmp_path / "journal"
    folder.mkdir()
    lines = [{"time": "1", "lock": "a", "run": "r1"}, {"time": "2", "lock": "a", "run": "r2"}, {"lock": "b"}]
    (folder / "changes").write_text("\n".join(map(json.dumps, lines)) + "\n[1, \n")
    here = system(state_directory=str(tmp_path))
    assert traces.journal(here, lambda line: line.get("lock") == "a") == {"time": "2", "run": "r2"}
    assert traces.journal(here, lambda line: line.get("lock") == "c") == {}


def test_traces_of_paths_name_the_run_that_made_them(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    path, gone = str(tmp_path / "a"), str(tmp_path / "gone")
    Path(path).write_text("")
    lines = [
        {"time": "1", "run": run, "actions": [{"verb": "create", "target": target}]}
        for run, target in (("r1", path), ("r2", path), ("r3", "/other"))
    ]
    (tmp_path / "journal/changes").write_text("\n".join(map(json.dumps, lines)))
    state = verify_traces.observe(verify_traces.Spec([path, gone]), system(state_directory=str(tmp_path)))
    assert state.traces[path]["made"] == {"time": "1", "run": "r2"}
    assert state.traces[path]["by"] == [traces.user_name(os.geteuid())]
    assert abs(state.traces[gone]["since"] - time.time()) < 20
    assert (state.traces[gone]["by"], state.traces[gone]["made"]) == ([], {})


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-03-01T12:00:07Z"])
def test_a_moment_of_the_journal_in_seconds(moment: str) -> None:
    assert made._seconds(moment) == calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
    assert made._seconds("yesterday") is None


def test_an_environment_counts_as_intact_only_when_it_was_seen_so(tmp_path: Path) -> None:
    path = prefix_of_two(tmp_path)
    here = system()
    assert not environments.intact(here, str(path))
    wanted = verify_environment.Spec(name="web", lock=LOCK, root=str(tmp_path), listing_blob=str(tmp_path / "listing"))
    verify_environment.observe(wanted, here)
    assert environments.intact(here, str(path))


def test_who_may_enter_a_prefix(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "env").mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            closed = folder
    assert prefix.closed_to(system(), "root", str(tmp_path / "closed/env")) == ""
    assert prefix.closed_to(system(), "nobody", str(tmp_path / "closed/env")) in {
        str(closed),
        *map(str, closed.parents),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_never_runs_what_somebody_else_made(tmp_path: Path) -> None:
    assert prefix.runner(system(), "root", str(tmp_path)) == "root"
    os.chown(tmp_path, system().user_id("nobody"), -1)
    assert prefix.runner(system(), "root", str(tmp_path)) == "nobody"
    assert prefix.runner(system(), "daemon", str(tmp_path)) == "daemon"


def test_what_the_program_on_the_gpus_tells() -> None:
    text = 'warning: x\nprovision {"torch": "2.0.1"}\nprovision {"device": "GPU-1", "err\n'
    assert product.read(text) == [{"torch": "2.0.1"}]


# --- shared data


def shared(tmp_path: Path, **spec: Any) -> list[dict[str, Any]]:
    wanted = verify_shared_data.Spec(**{"path": str(tmp_path), "free": 1, **spec})
    return verify_shared_data.observe(wanted, system()).findings


def test_shared_data_that_are_right(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "assets")
    found = shared(
        tmp_path,
        directories=["assets"],
        links={str(tmp_path / "link"): str(tmp_path / "assets")},
        writable={str(tmp_path / "assets"): [traces.user_name(os.geteuid())]},
    )
    assert [(one["check"], one["status"]) for one in found] == [
        (f"shared_data.{name}", "ok") for name in ("mount", "free", "directory", "link", "writable")
    ]


def test_links_and_directories_that_are_not_right(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("")
    (tmp_path / "astray").symlink_to("/elsewhere")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    links = {str(tmp_path / name): str(tmp_path / "gone") for name in ("real", "astray", "dangling", "none")}
    found = shared(tmp_path, directories=["lost"], links=links)[2:]
    gone = f"`{tmp_path}/gone`"
    assert [one["summary"] for one in found] == [
        f"the directory `{tmp_path}/lost` is not there",
        f"`{tmp_path}/real` is a directory with 1 file, meant is a link to {gone}",
        f"`{tmp_path}/astray` leads to `/elsewhere`, meant is {gone}",
        f"`{tmp_path}/dangling` leads to {gone}, which is not there",
        f"the link `{tmp_path}/none` is not there",
    ]


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount("filer:/export/b", "/data", "nfs4", ["rw"]), "is mounted from `filer:/export/b`, meant is"),
        (Mount("/dev/sdb1", "/data", "ext4", ["rw"]), "is of kind ext4, meant is nfs"),
        (Mount("filer:/export/a", "/data", "nfs4", ["ro"]), "is mounted read-only"),
        (Mount("/dev/sda1", "/", "ext4", ["rw"]), "is not mounted: it is a plain directory on the file system of `/`"),
        (None, "is not mounted"),
        (Mount("filer:/export/a/", "/data", "nfs4", ["rw"]), ""),
    ],
)
def test_what_is_mounted_at_the_place_of_the_data(mount: Mount | None, words: str) -> None:
    spec = verify_shared_data.Spec(
        mounted=True, filesystem="nfs", source="filer:/export/a", writable={"/data/x": ["root"]}
    )
    found = shared_data._wrong_mount(spec, shared_data.Place("/data", True, None), mount)
    assert (found["summary"].startswith(f"`/data` {words}") if found else words == "") is True


def test_why_somebody_may_not_write() -> None:
    spec = verify_shared_data.Spec()
    network, local = Mount("filer:/a", "/data", "nfs4", ["rw"]), Mount("/dev/sdb1", "/data", "ext4", ["rw"])

    def words(user: str, mount: Mount) -> str:
        found = shared_data._judge_writable(spec, user, "/data/x", {"/data/x": False}, mount)
        return str(found["summary"])

    assert words("root", network) == "root may not write to `/data/x`: its server maps root to nobody (root_squash)"
    assert words("video", network) == "`video` may not write to `/data/x`"
    assert words("root", local) == "`root` may not write to `/data/x`"
    assert words("root", local._replace(options=["ro"])) == "`/data/x` is on a file system that is mounted read-only"


@pytest.mark.parametrize(
    ("word", "spec"),
    [
        ("system", {"disks": {"data": 1}}),
        ("system", {"deadline": 0}),
        ("driver", {"root": "here"}),
        ("environment", {"name": "../x", "lock": LOCK}),
        ("environment", {"name": "x", "lock": "ab"}),
        ("imports", {"name": "x", "deadline": 0}),
        ("compute", {"name": "x", "memory_mb": 1}),
        ("shared_data", {"links": {"a": "/b"}}),
        ("app", {"app": {"name": "x", "state": "started"}}),
    ],
)
def test_specs_that_are_refused(word: str, spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        load(f"verify_{word}").Spec(**spec)
    assert asdict(verify_system.Spec())["skew"] == 5.0


def test_every_check_is_documented() -> None:
    """Names of checks are stable: each that is made on a host is in the documentation."""
    import re

    import provision.agent.verify

    folder = Path(provision.agent.verify.__file__).parent
    rungs = "system|driver|environments|imports|compute|shared_data|apps"
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    made = set(re.findall(rf'"((?:{rungs})\.[a-z_]+)"', text)) | {"compute.cuda"}
    page = (Path(__file__).parents[2] / "docs/checks.md").read_text()
    assert made - set(re.findall(rf"`((?:{rungs})\.[a-z_]+)`", page)) == set()
