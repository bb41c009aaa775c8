"""The pip part of an environment: exactly the locked wheels, by uv, each from its one index.

Must not resolve anything: every package comes with its version and hashes, and without its dependencies.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional

from . import reached
from .record import record
from .records import normalized
from .resource import Emit, Refusal
from .system import Completed, System

__all__ = [
    "Wheels",
    "complaints",
    "install",
    "judge",
    "proxies",
    "read_groups",
    "requirements",
    "without_credentials",
]

DEADLINE = 3600.0
"""Seconds for the packages of one index; large wheels come over slow lines."""


@record(frozen=True)
class Wheels:
    """What to install and how: `groups` is `[{"index": url, "kind": "index" or "links" (a page of
    links), "packages": [{name, version, hashes}]}]`.

    `clean`: fetch anew what the cache holds. `share`: files may be hard links into the cache.
    """

    uv: str
    groups: List[Dict[str, Any]]
    prefix: str
    cache: str
    mirrors: Dict[str, str]
    clean: bool
    share: bool


def install(name: str, wheels: Wheels, system: System, emit: Emit) -> int:
    """Install all groups; the number of packages. Refusal with uv's own words when one cannot be had or is damaged."""
    total = sum(len(group["packages"]) for group in wheels.groups)
    done = 0
    for group in wheels.groups:
        emit(done=done, total=total, unit="packages", label="pip packages of %s" % _host(group["index"]))
        if wheels.clean:
            _run(wheels, system, ["cache", "clean", *[package["name"] for package in group["packages"]]])
        ended = _run(wheels, system, _arguments(wheels), requirements(group), _source(wheels, group))
        if ended.returncode:
            said = "uv says: %s" % without_credentials(_last(ended))
            hint = "what served still serves; see that the index `%s`, or its mirror, has these packages"
            hint = reached.hint(said, "index_credentials", hint % group["index"])
            raise Refusal("cannot install the pip packages of `%s`" % name, said, hint)
        done += len(group["packages"])
        emit(done=done, total=total, unit="packages", label="pip packages")
    return total


def requirements(group: Dict[str, Any]) -> bytes:
    """A group as a requirements file with hashes."""
    lines = [
        "%s==%s %s" % (package["name"], package["version"], " ".join("--hash=%s" % h for h in package["hashes"]))
        for package in group["packages"]
    ]
    return ("\n".join(lines) + "\n").encode()


def judge(name: str, wheels: Wheels, system: System, provided: List[str]) -> List[str]:
    """What `uv pip check` holds against the whole, as lines; Refusal when one of our own pip packages is concerned.

    `provided` are PyPI's names of what conda's packages provide: some of these carry no metadata for Python, and
    uv takes them for missing.
    """
    ended = _run(wheels, system, ["pip", "check", "--python", _python(wheels)])
    ours = {normalized(package["name"]) for group in wheels.groups for package in group["packages"]}
    found = complaints(ended.stdout + ended.stderr, {normalized(other) for other in provided})
    against = [line for line in found if _subject(line) in ours]
    if against:
        raise Refusal(
            "the pip packages of `%s` do not go with its conda packages" % name,
            "\n".join(against),
            "change the versions in its environment.yml, and lock it again",
        )
    return found


def complaints(output: str, provided: Any) -> List[str]:
    """The lines of `uv pip check` that name a package in disorder, less those that miss what conda provides."""
    lines = [line.strip() for line in output.splitlines() if line.startswith("The package `")]
    return [line for line in lines if "not installed" not in line or _wanted(line) not in provided]


def _subject(line: str) -> str:
    return normalized(line.split("`")[1].partition("==")[0])


def _wanted(line: str) -> str:
    parts = line.split("`")
    text = parts[3] if len(parts) > 3 else ""
    end = next((i for i, c in enumerate(text) if not (c.isalnum() or c in "-_.")), len(text))
    return normalized(text[:end])


def _arguments(wheels: Wheels) -> List[str]:
    return [
        *("pip", "install", "--no-deps", "--require-hashes", "--no-build", "--python", _python(wheels)),
        *("--link-mode", "hardlink" if wheels.share else "copy", "-r", "-"),
    ]


def _source(wheels: Wheels, group: Dict[str, Any]) -> Dict[str, str]:
    """Where a group comes from, as variables: an address may hold credentials, and arguments are seen by all."""
    place = wheels.mirrors.get(group["index"], group["index"])
    if group.get("kind") == "links":
        return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": place}
    return {"UV_INDEX_URL": place}


def _run(
    wheels: Wheels, system: System, arguments: List[str], stdin: bytes = b"", source: Optional[Dict[str, str]] = None
) -> Completed:
    argv = [wheels.uv, *arguments, "--cache-dir", wheels.cache, "--no-config", "--no-progress", "--color", "never"]
    environment = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_ENV_FILE": "1",
        **proxies(system.environment),
        **(source or {}),
    }
    try:
        return system.run(argv, timeout=DEADLINE, stdin=stdin, environment=environment, directory="/")
    except OSError as error:
        raise Refusal(
            "uv does not run on this host",
            "`%s` does not start: %s" % (wheels.uv, error),
            "see that its file system may run programs (no `noexec`)",
        ) from None


def proxies(environment: Dict[str, str]) -> Dict[str, str]:
    """The variables of a step that name proxies and certificates."""
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
    return {key: value for key, value in environment.items() if key.lower() in names}


def without_credentials(text: str) -> str:
    """The text with what stands before an `@` in a URL's address taken out."""
    import re

    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _python(wheels: Wheels) -> str:
    return os.path.join(wheels.prefix, "bin", "python")


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2] or url


def _last(ended: Completed) -> str:
    if ended.timed_out:
        return "nothing within %d s" % DEADLINE
    return "\n".join((ended.stderr or ended.stdout).strip().splitlines()[-12:]) or "exit status %d" % ended.returncode


def read_groups(data: bytes) -> List[Dict[str, Any]]:
    """The groups of a lock's pip part."""
    return [group for group in json.loads(data) if group["packages"]]
