"""Everything that the agent puts in a file's place survives a power cut: held by traces of what it really calls."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from agent_parts import PYTHON, Start
from resource_parts import names, say, server
from write_trace import CALLS, calls, problems

from provision.agent.protocol import Ready, Step

STRACE = shutil.which("strace")
assert STRACE, "`bash tests/prerequisites.sh strace` installs it"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1xuGqbS0tQhM8Z0jhBDS1mNoXAk5RrYlQ7kTsm2cXs"

GOOD = """\
7 openat(AT_FDCWD</>, "/d/.new", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 3</d/.new>
7 write(3</d/.new>, ""..., 5) = 5
7 fchown(3</d/.new>, 0, 0) = 0
7 fchmod(3</d/.new>, 0644) = 0
7 fsync(3</d/.new>) = 0
7 rename("/d/.new", "/d/file") = 0
7 openat(AT_FDCWD</>, "/d", O_RDONLY|O_DIRECTORY) = 3</d>
7 fsync(3</d>) = 0
"""
LINES = GOOD.splitlines(keepends=True)


def without(*numbers: int) -> str:
    return "".join(line for number, line in enumerate(LINES) if number not in numbers)


def moved(number: int, behind: int) -> str:
    lines = [line for at, line in enumerate(LINES) if at != number]
    lines.insert(behind, LINES[number])
    return "".join(lines)


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        pytest.param(GOOD, [], id="right"),
        pytest.param(without(4), ["`/d/file` gets its name before its content is on the disk"], id="no fsync"),
        pytest.param(without(7), ["`/d/file` changed, and its folder is never synced"], id="folder not synced"),
        pytest.param(
            moved(4, 5),
            ["`/d/file` gets its name before its content is on the disk"],
            id="fsync behind the rename",
        ),
        pytest.param(
            moved(1, 4), ["`/d/file` gets its name before its content is on the disk"], id="written after the fsync"
        ),
        pytest.param(
            moved(3, 4), ["`/d/file` gets its name before its content is on the disk"], id="mode after the fsync"
        ),
        pytest.param(without(3), ["`/d/file` gets its name before its mode"], id="no mode"),
        pytest.param(
            without(2, 3), [f"`/d/file` gets its name before its {noun}" for noun in ("mode", "owner")], id="neither"
        ),
        pytest.param(
            GOOD + '7 chmod("/d/file", 0600) = 0\n', ["`/d/file` gets its mode after its name"], id="mode of the named"
        ),
        pytest.param(moved(7, 5), ["`/d/file` changed, and its folder is never synced"], id="folder synced too early"),
        pytest.param(
            GOOD + '7 openat(AT_FDCWD</>, "/d/file", O_WRONLY|O_TRUNC) = 3</d/file>\n7 write(3</d/file>, "", 1) = 1\n',
            ["`/d/file` is opened to be written in place", "`/d/file` is written in place"],
            id="in place",
        ),
        pytest.param(without(5, 7), ["`/d/.new` is written and never gets its name"], id="left aside"),
        pytest.param(
            '7 unlink("/d/file") = 0\n', ["`/d/file` changed, and its folder is never synced"], id="removal not durable"
        ),
        pytest.param('7 rename("/d/a", "/d/b") = -1 ENOENT (No such file)\n', [], id="what failed did nothing"),
    ],
)
def test_the_checker_tells_each_wrong_order(trace: str, told: list[str]) -> None:
    assert problems(calls(trace), "/d") == told


def test_calls_of_processes_that_run_together_are_joined() -> None:
    trace = LINES[5].replace(") = 0", " <unfinished ...>").replace('"/d/file"', '"/d/file"')
    mixed = trace + '8 unlink("/else") = 0\n' + "7 <... rename resumed>) = 0\n"
    assert [(call.kind, call.path, call.new) for call in calls(mixed)] == [
        ("leaves", "/else", ""),
        ("rename", "/d/.new", "/d/file"),
    ]
    relative = '7 renameat2(3</d>, "a", AT_FDCWD</e>, "b", RENAME_EXCHANGE) = 0\n'
    (call,) = calls(relative)
    assert (call.path, call.new, call.flags) == ("/d/a", "/e/b", {"RENAME_EXCHANGE", "AT_FDCWD"})


def strace(trace: Path) -> list[str]:
    return [str(STRACE), "-f", "-qq", "-y", "-s", "0", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace)]


def traced_python(folder: Path) -> tuple[Path, Path]:
    """A program that runs Python under strace, and where the trace will be."""
    program, trace = folder / "traced-python", folder / "trace"
    program.write_text(f'#!/bin/sh\nexec {" ".join(strace(trace))} {PYTHON} "$@"\n')
    program.chmod(0o755)
    return program, trace


def archive(path: Path, text: str) -> None:
    with tarfile.open(path, "w:gz") as packed:
        for name, kind in (("model", tarfile.DIRTYPE), ("model/weights", tarfile.REGTYPE), ("now", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mtime = kind, "model/weights", 10**9
            member.size = len(text) if kind == tarfile.REGTYPE else 0
            packed.addfile(member, io.BytesIO(text.encode()) if member.size else None)


def created(trace: str) -> list[str]:
    """The calls that make a file."""
    return [line for line in trace.splitlines() if "O_CREAT" in line and ") = -1" not in line]


def steps(folder: Path, text: str, address: str) -> list[dict[str, Any]]:
    """A step of each resource that puts something in a file's place, with `text` in it."""
    place, blob = str(folder), hashlib.sha256(text.encode()).hexdigest()
    owned = {"owner": "65534", "group": "65534"}
    shared = {"path": f"{place}/shared", "folders": ["sub"], "files": {"sub/one": blob}, "links": {"link": "sub"}}
    apt = {"repo": f"deb https://example.com/debian {text} main", "filename": "own", "update_cache": False}
    row = {"path": f"/{text}", "src": "x:/y", "fstype": "nfs", "state": "present"}
    packed = {"src": f"{place}/{text}.tar.gz", "remote_src": True, **owned}
    return [
        {"resource": "file", "path": f"{place}/copied", "content": text, "mode": "0640", "backup": True, **owned},
        {"resource": "file", "path": f"{place}/template", "content_blob": blob},
        {"resource": "file", "path": f"{place}/touched-{text}", "state": "touch"},
        {"resource": "file", "path": f"{place}/folder-{text}/two", "state": "directory", "mode": "0700", **owned},
        {"resource": "file_tree", "mode": "0600", **shared},
        {"resource": "lineinfile", "path": f"{place}/lines", "line": text, "create": True, "backup": True, **owned},
        {"resource": "blockinfile", "path": f"{place}/block", "block": text, "create": True, "validate": "test -s %s"},
        {"resource": "replace", "path": f"{place}/template", "regexp": text, "replace": "X"},
        {"resource": "authorized_key", "user": "root", "path": f"{place}/keys", "key": KEY, "comment": text},
        {"resource": "known_hosts", "path": f"{place}/hosts", "name": text, "key": f"{text} {KEY}"},
        {"resource": "mount", "fstab": f"{place}/fstab", **row},
        {"resource": "apt_repository", "directory": f"{place}/apt", **apt},
        {"resource": "unarchive", "dest": f"{place}/unpacked", **packed},
        {"resource": "get_url", "url": f"{address}/{text}", "dest": f"{place}/fetched", "mode": "0600", "backup": True},
        {"resource": "link", "path": f"{place}/link", "target": f"{place}/{text}.tar.gz"},
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_steps_write_is_whole_and_durable_in_this_order(start: Start, tmp_path: Path) -> None:
    place, state = tmp_path / "place", tmp_path / "state"
    for folder in (place / "apt/sources.list.d", place / "unpacked"):
        folder.mkdir(parents=True)
    for text in ("one", "two"):
        archive(place / f"{text}.tar.gz", text)
    program, trace = traced_python(tmp_path)
    agent = start(state, python=str(program))
    assert isinstance(agent.first, Ready), agent.first
    with server(lambda handler, _: say(handler, 200, handler.path.encode())) as (address, _):
        for text in ("one", "two"):
            wanted = steps(place, text, address)
            blobs: dict[str, bytes | Path] = {hashlib.sha256(text.encode()).hexdigest(): text.encode()}
            given = [Step(at, spec.pop("resource"), spec, notify=["restart"]) for at, spec in enumerate(wanted)]
            results = agent.results(*given, blobs=blobs)
            assert [(result.status, result.error) for result in results] == [("changed", None)] * len(given)
            gone = agent.results(Step(1, "file", {"path": f"{place}/touched-{text}", "state": "absent"}))
            assert [result.status for result in gone] == ["changed"]
    again = agent.results(Step(1, "link", {"path": f"{place}/link", "state": "absent"}, clears=["restart"]))
    assert [result.status for result in again] == ["changed"]
    agent.link.close()
    found = list(calls(trace.read_text()))
    replaced = {Path(call.new).name for call in found if "RENAME_EXCHANGE" in call.flags}
    wanted_names = {"copied", "template", "one", "lines", "block", "keys", "hosts", "fstab", "own.list", "weights"}
    assert wanted_names | {"fetched", "link"} <= replaced
    assert [call for call in found if call.kind == "rename" and call.new.endswith("/handlers.json")]
    assert problems(found, str(place)) == []
    assert problems(found, str(state / "journal"), (str(state / "journal/changes"),)) == []
    assert [name for name in names(place) if name.startswith(".provision")] == []
    ours = [line for line in created(trace.read_text()) if str(tmp_path) in line]
    assert [line for line in ours if ", 0600" not in line] == [], "its owner's alone, whatever the umask is"
    # the lock, the journal and what the control node sends are taken up again, and are no links
    assert [line for line in ours if "O_EXCL" not in line and "O_NOFOLLOW" not in line] == []


DRIVER = """
import sys
from pathlib import Path
from provision.agent import flipping, generations, seal, systemd
from provision.agent.system import System

def generation(number):
    path = generations.expected_path(root, "env", "%064d" % number)
    system.mkdir(generations.notes_directory(path))
    Path(path, "bin").mkdir()
    seal.write(system, path, {"lock": "%064d" % number})
    return generations.find(system, root, "env", "%064d" % number)

root, system = sys.argv[1], System(blob=str)
systemd.UNIT_DIRECTORY = root + "/units"
systemd.control = lambda *_: None
system.mkdir(systemd.UNIT_DIRECTORY)
for text in ("[Service]\\n", "[Service]\\nNice=1\\n"):
    systemd.install(system, "app", text)
systemd.remove(system, "app")
one, two = generation(1), generation(2)
with generations.lock_environment(system, root, "env"):
    for wanted in (one, two, one):
        flipping.flip(system, root, "env", wanted)
        generations.hold(system, root, "env", wanted.lock)
    system.mkdir(root + "/envs/real/data")
    print(flipping.flip(system, root, "real", one, takeover=True))
"""


def test_units_notes_and_the_link_of_an_environment_are_durable_too(tmp_path: Path) -> None:
    root, trace = tmp_path / "root", tmp_path / "trace"
    argv = [*strace(trace), sys.executable, "-c", DRIVER, str(root)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    assert said == f"{root}/envs/real.before" and names(root / "envs/real.before") == ["data"]
    found = list(calls(trace.read_text()))
    exchanged = [call.new for call in found if "RENAME_EXCHANGE" in call.flags]
    assert {str(root / "envs/env"), str(root / "envs/real")} <= set(exchanged)
    lock = str(root / "envs/.generations/env/lock")
    bins = [call for call in found if not call.path.endswith("/bin")]
    assert problems(bins, str(root), (lock,)) == []
