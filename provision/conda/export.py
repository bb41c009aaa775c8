"""An installed environment as a file that anyone's conda takes: environment.yml, or an @EXPLICIT list.

Of what the resource `conda_list` found. Source of the formats: https://docs.conda.io/projects/conda/en/latest/user-guide/
tasks/manage-environments.html#creating-an-environment-file-manually, and `conda list --explicit`. Must not ask hosts.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from provision.agent.record import record
from provision.conda.environment import read
from provision.conda.mirrors import CONDA, DEFAULTS, canonical_url, clean
from provision.conda.yaml_text import text_of
from provision.errors import ProvisionError

__all__ = ["Written", "channels_of", "environment_yml", "explicit"]

Listing = Mapping[str, Any]
"""The fields of `conda_list`: `packages`, `pip`, `python`, `variables`, …"""
_TORCH_BUILD = re.compile(r"\Atorch(?:vision|audio)? \S+\+(cu\d{2,3}|cpu|rocm[\d.]+)\Z")
_WORD = re.compile(r"(?!-)[^\s\x00-\x20\x7f]*\Z")
"""What can stand in a line of pip's: nothing that ends it, nor begins an option or a comment."""
_TOKEN = re.compile(r"(?<=[a-z0-9])/t/[^/]+(?=/)")
"""How a channel's URL carries a token: https://conda.anaconda.org/t/TOKEN/CHANNEL."""
_FIRST = ("pytorch", "nvidia")
"""Channels that come before others: with strict priority theirs are the builds that were meant."""


@record(frozen=True, slots=True)
class Written:
    """A file's text, and what could not be said in it, a line each."""

    text: str
    notes: tuple[str, ...] = ()


def environment_yml(
    name: str, listing: Listing, mirrors: Mapping[str, str], *, builds: bool = True, title: str = ""
) -> Written:
    """The environment.yml of a listing, exact versions and all; read back before it is given out.

    `mirrors` are those of channels: what came from one stands under its canonical URL. Without `builds` only versions
    are held. Raises ProvisionError where the format has no words for what is installed.
    """
    packages = [package for package in listing["packages"] if not str(package["name"]).startswith("__")]
    conda = [_spec(package, builds) for package in packages]
    pip, notes = _pip_lines(listing["pip"])
    names = {str(package["name"]) for package in packages}
    if not packages and listing.get("python"):
        conda.append(f"python={listing['python']}")
        notes.append("it is no conda environment: its Python is asked of conda-forge")
    if pip and "pip" not in names:
        conda.append("pip")
    document: dict[str, Any] = {
        "name": name,
        "channels": channels_of(packages, mirrors) or ["conda-forge", "nodefaults"],
        "dependencies": [*conda, *([{"pip": [*_indexes(listing["pip"]), *pip]}] if pip else [])],
    }
    if listing.get("variables"):
        document["variables"] = dict(listing["variables"])
    notes += _overlaid(packages, listing["pip"])
    text = "".join(f"# {line}\n" for line in (title, *notes) if line) + text_of(document)
    _read_back(text, document)
    return Written(text, tuple(notes))


def explicit(listing: Listing, mirrors: Mapping[str, str]) -> Written:
    """The @EXPLICIT list of a listing's conda part, each line with its hash; raises ProvisionError for one without URL.

    Pip's packages have no place in the format and are told as notes.
    """
    without = [str(package["name"]) for package in listing["packages"] if not package.get("url")]
    if without or not listing["packages"]:
        raise ProvisionError(
            "this environment cannot be written as @EXPLICIT",
            cause=f"no URL is recorded of {', '.join(without)}" if without else "no conda package is installed in it",
            hint="export it without `--explicit`",
        )
    lines = [_line(package, mirrors) for package in listing["packages"]]
    subdirs = {str(package.get("subdir")) for package in listing["packages"]} - {"noarch", "None"}
    head = [f"# platform: {subdir}" for subdir in sorted(subdirs)]
    count = len(listing["pip"])
    notes = (f"{count} packages of pip are not in it: the format has no place for them",) if count else ()
    return Written("\n".join([*head, "@EXPLICIT", *lines]) + "\n", notes)


def channels_of(packages: Iterable[Mapping[str, Any]], mirrors: Mapping[str, str]) -> list[str]:
    """The channels that packages came from, as people write them; `nodefaults` where `defaults` is none of them."""
    found = dict.fromkeys(name for package in packages if (name := _channel(package, mirrors)))
    first = [name for name in _FIRST if name in found]
    rest = sorted(name for name in found if name not in (*_FIRST, "conda-forge", "defaults"))
    last = [name for name in ("conda-forge", "defaults") if name in found]
    listed = [*first, *rest, *last]
    return listed if not listed or "defaults" in listed else [*listed, "nodefaults"]


def _spec(package: Mapping[str, Any], builds: bool) -> str:
    parts = [str(package["name"]), str(package["version"])]
    return "=".join([*parts, str(package["build"])] if builds and package.get("build") else parts)


def _pip_lines(packages: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The lines of pip's part, and what has no line: what lies in a folder of the host is not to be had elsewhere."""
    lines, notes = [], []
    for package in packages:
        origin = package.get("direct_url") or {}
        url, vcs = clean(str(origin.get("url") or "")), origin.get("vcs_info") or {}
        told = (package["name"], package.get("version") or "", url, vcs.get("vcs") or "", vcs.get("commit_id") or "")
        if url.startswith("file:"):
            how = "editable from" if package.get("editable") else "from"
            notes.append(f"not written: {package['name']} {package['version']}, {how} {url.removeprefix('file://')}")
        elif not all(_WORD.match(str(word)) for word in (*told, vcs.get("requested_revision") or "")):
            notes.append(f"not written: {' '.join(str(package['name']).split())}, which would be no line of pip's")
        elif vcs:
            commit = vcs.get("commit_id") or vcs.get("requested_revision") or ""
            lines.append(f"{package['name']} @ {vcs.get('vcs', 'git')}+{url}{f'@{commit}' if commit else ''}")
        elif url:
            lines.append(f"{package['name']} @ {url}")
        elif package.get("version"):
            lines.append(f"{package['name']}=={package['version']}")
        else:
            notes.append(f"not written: {package['name']}, whose version its metadata does not say")
    return lines, notes


def _indexes(packages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The indexes of torch's own builds, which PyPI does not have: `2.0.1+cu118` names the one that it came from.

    Source: https://pytorch.org/get-started/previous-versions/
    """
    found = [
        match[1] for package in packages if (match := _TORCH_BUILD.search(f"{package['name']} {package['version']}"))
    ]
    return [f"--extra-index-url https://download.pytorch.org/whl/{tag}" for tag in dict.fromkeys(found)]


def _overlaid(conda: Iterable[Mapping[str, Any]], pip: Iterable[Mapping[str, Any]]) -> list[str]:
    by_name = {str(package["name"]): str(package["version"]) for package in conda}
    both = [(package, by_name[_normal(package)]) for package in pip if _normal(package) in by_name]
    return [f"pip's {one['name']} {one['version']} lies over conda's {version}" for one, version in both]


def _normal(package: Mapping[str, Any]) -> str:
    return str(package["name"]).lower().replace("_", "-")


def _channel(package: Mapping[str, Any], mirrors: Mapping[str, str]) -> str:
    """A package's channel by its URL, else as the record names it; "" where neither says."""
    url, subdir = str(package.get("url") or ""), str(package.get("subdir") or "")
    base = url.rpartition("/")[0] if "://" in url else str(package.get("channel") or "").rstrip("/")
    base = base.removesuffix(f"/{subdir}") if subdir else base
    if "://" in base:
        base = canonical_url(_TOKEN.sub("", base + "/"), mirrors).rstrip("/")
    if base in DEFAULTS or base in ("pkgs/main", "pkgs/r", "defaults"):
        return "defaults"
    return "" if base.startswith(("file:", "<")) or base == "pypi" else base.removeprefix(f"{CONDA}/")


def _line(package: Mapping[str, Any], mirrors: Mapping[str, str]) -> str:
    url = canonical_url(_TOKEN.sub("", str(package["url"])), mirrors)
    digest = package.get("sha256") or package.get("md5")
    return f"{url}#{digest}" if digest else url


def _read_back(text: str, document: Mapping[str, Any]) -> None:
    """Raises ProvisionError unless what was written reads as what was meant, by YAML and by our own reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "environment.yml"
        path.write_text(text, "utf-8")
        environment = read(path)
    *conda, last = document["dependencies"]
    conda, pip = (conda, last["pip"]) if isinstance(last, dict) else ([*conda, last], [])
    same: Sequence[tuple[Any, Any]] = (
        (yaml.safe_load(text), document),
        ([spec.text for spec in environment.conda], conda),
        ([spec.name for spec in environment.conda], [text.partition("=")[0].lower() for text in conda]),
        ([line.text for line in environment.pip], pip),
    )
    if any(found != meant for found, meant in same):
        raise ProvisionError(
            "what was written does not read back as what is installed",
            cause="a name or version in it means something else in an environment.yml",
            hint="look at `provision env export --explicit`",
        )
