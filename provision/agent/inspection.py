"""Looks at a freshly built prefix: what must not be there, what must, and whether it runs.

Raises Refusal for what the operator must decide and Damaged for what a clean rebuild may mend.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from .generations import write_note
from .records import normalized
from .resource import Refusal
from .system import System

__all__ = [
    "Damaged",
    "check_files",
    "check_link_scripts",
    "check_packages",
    "differences",
    "imported",
    "mend_scripts",
    "probe",
    "unshare",
]

_PROBE = """
import importlib, json, sys
names, found = json.loads(sys.argv[1]), {"failed": {}}
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:
        found["failed"][name] = "%s: %s" % (type(error).__name__, error)
torch = sys.modules.get("torch")
if torch is not None:
    found["torch"] = str(torch.__version__)
    found["cuda"] = str(getattr(getattr(torch, "version", None), "cuda", None))
    found["simulated"] = bool(getattr(torch, "__provision_simulated__", False))
print("\\n" + json.dumps(found))
"""


class Damaged(Exception):
    """The prefix is not what its packages say; a rebuild with the cache checked in full may mend it."""


def check_files(system: System, path: str, records: List[Dict[str, Any]]) -> None:
    """Damaged when a file of a conda package is missing or has another size."""
    for record in records:
        for entry in record.get("paths_data", {}).get("paths", ()):
            status = system.lstat(os.path.join(path, entry["_path"]))
            if status is None:
                raise Damaged("`%s` of package %s is missing" % (entry["_path"], record["name"]))
            size = entry.get("size_in_bytes")
            wrong = size is not None and entry.get("path_type") == "hardlink" and status.st_size != size
            if wrong and not _rewritten_at_link(system, os.path.join(path, entry["_path"]), entry):
                raise Damaged("`%s` of package %s has another size" % (entry["_path"], record["name"]))


def _rewritten_at_link(system: System, path: str, entry: Dict[str, Any]) -> bool:
    """Whether the prefix was written into the file, and conda noted only its first size."""
    wanted = entry.get("sha256_in_prefix")
    return bool(wanted and entry.get("file_mode") == "text" and system.sha256(path) == wanted)


def check_link_scripts(name: str, records: List[Dict[str, Any]], ignored: List[str]) -> None:
    """Refusal when a package wants a script run at installation and the operator did not accept it unrun."""
    for record in records:
        for kind in ("post-link", "pre-link"):
            script = "bin/.%s-%s.sh" % (record["name"], kind)
            if record["name"] not in ignored and script in record.get("files", ()):
                raise Refusal(
                    "package `%s` of environment `%s` has a %s script" % (record["name"], name, kind),
                    "such scripts run arbitrary commands as root; they stay off",
                    "read `%s` in the package; if the package works without it, write `post_link: {ignore: [%s]}`"
                    % (script, record["name"]),
                )


def check_packages(packages: List[Dict[str, Any]], installed: List[Tuple[str, str, str, str]]) -> None:
    """Damaged when a package of the lock is not there, or one is that the lock does not have."""
    found = differences(packages, installed)
    if found:
        raise Damaged("packages are not the lock's: " + ", ".join(found[:5]))


def differences(packages: List[Dict[str, Any]], installed: List[Tuple[str, str, str, str]]) -> List[str]:
    """How installed packages differ from a lock's listing, as lines like `missing: numpy 1.26.4 py311_0`."""
    locked = {identity(p["kind"], p["name"], p["version"], p.get("build", "")) for p in packages}
    there = {identity(*package) for package in installed}
    return [
        "%s: %s" % (word, " ".join(part for part in package[1:] if part))
        for word, some in (("missing", locked - there), ("not in the lock", there - locked))
        for package in sorted(some)
    ]


def identity(kind: str, name: str, version: str, build: str) -> Tuple[str, str, str, str]:
    """What makes two packages the same one. pip's are told by their name: `1.0` and `1.0.0` are one version there."""
    return (kind, normalized(name), "", "") if kind == "pip" else (kind, name, version, build)


def unshare(path: str) -> None:
    """Replace every file that is a hard link by a copy of its own."""
    import shutil

    for folder, _, files in os.walk(path):
        for file in [os.path.join(folder, name) for name in files]:
            status = os.lstat(file)
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                shutil.copy2(file, file + ".copy")
                os.rename(file + ".copy", file)


def mend_scripts(system: System, path: str) -> List[str]:
    """Give every script whose first line asks `env` an interpreter of its own; the scripts' relative paths.

    A file that is a hard link into the cache is replaced, never written through.
    """
    mended = {}
    for folder in ("bin", "sbin"):
        directory = os.path.join(path, folder)
        for entry in sorted(os.scandir(directory), key=lambda e: e.name) if os.path.isdir(directory) else []:
            if entry.is_file(follow_symlinks=False):
                data = _with_own_interpreter(path, entry.path)
                if data is not None:
                    system.write(entry.path, data, mode=entry.stat().st_mode & 0o7777)
                    mended["%s/%s" % (folder, entry.name)] = system.sha256(entry.path)
    write_note(system, path, "rewritten.json", mended)
    return sorted(mended)


def probe(
    system: System, name: str, path: str, imports: List[str], expect: Dict[str, str], variables: Dict[str, str]
) -> Dict[str, Any]:
    """Import the packages in the prefix's own python and compare torch and CUDA; what was found. Damaged or Refusal."""
    names = list(imports) + (["torch"] if expect and "torch" not in imports else [])
    if not names:
        return {}
    found, words = imported(system, path, names, variables)
    if found is None:
        raise Damaged("its python %s" % words)
    if found["failed"]:
        raise Damaged("\n".join("cannot import `%s`: %s" % item for item in sorted(found["failed"].items())))
    _compare(name, expect, found)
    return found


def imported(
    system: System,
    path: str,
    names: List[str],
    variables: Dict[str, str],
    *,
    isolated: bool = False,
    user: Optional[str] = None,
    timeout: float = 600.0,
) -> Tuple[Optional[Dict[str, Any]], str]:
    """What the prefix's own python says when it imports the names: `failed` (name to error), `torch`, `cuda`,
    `simulated`; None, and in words how it ended, where it says nothing. `isolated`: nothing of the user's is seen.
    """
    python = os.path.join(path, "bin", "python")
    ended = system.run(
        [python, *(["-I"] if isolated else []), "-B", "-c", _PROBE, json.dumps(names)],
        timeout=timeout,
        environment={"PYTHONNOUSERSITE": "1", **variables},
        directory="/",
        user=user,
    )
    if ended.timed_out:
        return None, "does not end within %g s" % timeout
    return _answer(ended.stdout), "ends with status %d: %s" % (ended.returncode, ended.stderr.strip()[-500:])


def _compare(name: str, expect: Dict[str, str], found: Dict[str, Any]) -> None:
    seen = {"torch": str(found.get("torch", "")).partition("+")[0], "cuda": str(found.get("cuda", ""))}
    for key, wanted in sorted(expect.items()):
        if seen.get(key) != wanted:
            raise Refusal(
                "environment `%s` has %s %s, meant is %s" % (name, key, seen.get(key) or "none", wanted),
                "its python says torch %s, CUDA %s" % (found.get("torch"), found.get("cuda")),
                "see which package brought it: `provision lock` and look for `torch` in the lock",
            )


def _answer(output: str) -> Optional[Dict[str, Any]]:
    try:
        found = json.loads(output.rstrip().rpartition("\n")[2])
    except ValueError:
        return None
    return found if isinstance(found, dict) and "failed" in found else None


def _with_own_interpreter(path: str, script: str) -> Optional[bytes]:
    with open(script, "rb") as stream:
        if stream.read(2) != b"#!":
            return None
        line = stream.readline(1024)
        program, arguments = _asked(line.split())
        if not program:
            return None
        interpreter = _interpreter(path, os.fsdecode(program))
        return b"#!" + os.fsencode(interpreter) + b"".join(b" " + word for word in arguments) + b"\n" + stream.read()


def _asked(words: List[bytes]) -> Tuple[bytes, List[bytes]]:
    """The program that a first line asks `env` for, and its arguments; b"" where it does not ask."""
    if not words or os.path.basename(words[0]) != b"env":
        return b"", []
    rest = [word for word in words[1:] if word != b"-S"]
    return (rest[0], rest[1:]) if rest else (b"", [])


def _interpreter(path: str, program: str) -> str:
    """The prefix's own program, else the system's; where neither has it, the prefix's, so that the error names it."""
    own = os.path.join(path, "bin", program)
    for candidate in (own, "/usr/bin/" + program, "/bin/" + program):
        if os.path.exists(candidate):
            return candidate
    return own
