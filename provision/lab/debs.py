"""The lab's apt repository: small packages under the names of NVIDIA's driver, all marked as simulated.

Owns how packages and the repository are laid out; writes them without dpkg, the same bytes whenever they are made.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from provision.lab import built, gpus

__all__ = ["VERSIONS", "Deb", "build", "source", "write"]

VERSIONS = ("535.104.05", "535.129.03")
"""Versions of the driver that the repository has."""
_SOURCES = ("debs.py", "driver", "nvidia-smi.sh")
_UNIT = """\
[Unit]
Description=simulated by the lab of provision: {what}
[Service]
Type={kind}
ExecStart={command}
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Deb:
    """A package. `files`: content by path; scripts of /usr/bin and /usr/lib are executable."""

    name: str
    version: str
    depends: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    postinst: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version}_all.deb"

    def control(self) -> str:
        """Its fields, as `DEBIAN/control` has them."""
        depends = f"Depends: {self.depends}\n" if self.depends else ""
        return (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: all\nMaintainer: lab <lab@lab.invalid>\n"
            f"{depends}Description: simulated by the lab of provision\n"
        )


def build(www: Path, cache: Path) -> None:
    """Lay out `www`/apt, a flat repository; built once for the same inputs, and kept in `cache`."""
    kernel = os.uname().release
    folder = built.kept(cache, "apt", built.key([kernel], *_SOURCES), lambda aside: _make(aside, kernel))
    built.lay_out(folder, www / "apt")


def source(url: str) -> str:
    """What sources.list.d says of the repository at a URL; nobody signed it."""
    return f"Types: deb\nURIs: {url}\nSuites: ./\nTrusted: yes\n"


def write(deb: Deb, path: Path) -> None:
    """Write the package."""
    control = {"./control": (deb.control(), 0o644)}
    if deb.postinst:
        control["./postinst"] = (deb.postinst, 0o755)
    data = {f".{name}": (text, 0o755 if text.startswith("#!") else 0o644) for name, text in deb.files.items()}
    members = {"debian-binary": b"2.0\n", "control.tar.gz": _tar(control), "data.tar.gz": _tar(data)}
    path.write_bytes(b"!<arch>\n" + b"".join(_member(name, content) for name, content in members.items()))


def _make(top: Path, kernel: str) -> None:
    index = ""
    for deb in _debs(kernel):
        path = top / deb.file_name
        write(deb, path)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        index += f"{deb.control()}Filename: ./{deb.file_name}\nSize: {len(data)}\nSHA256: {digest}\n\n"
    (top / "Packages").write_text(index)
    told = f"{hashlib.sha256(index.encode()).hexdigest()} {len(index.encode())} Packages"
    (top / "Release").write_text(f"Origin: provision-lab\nSuite: lab\nSHA256:\n {told}\n")


def _debs(kernel: str) -> list[Deb]:
    debs = [deb for version in VERSIONS for deb in _driver(version)]
    build = {f"/lib/modules/{kernel}/build/Makefile": f"# {gpus.MARK}\n"}
    return [*debs, Deb(f"linux-headers-{kernel.lower()}", "1-0lab1", files=build)]


def _driver(version: str) -> list[Deb]:
    full = f"{version}-0lab1"
    load = "/usr/lib/provision-lab/load-driver"
    files = {
        "/usr/bin/nvidia-smi": _script("nvidia-smi", version),
        "/usr/lib/provision-lab/nvidia-smi": gpus.nvidia_smi(),
        load: _script("load", version),
        "/lib/systemd/system/provision-lab-driver.service": _UNIT.format(
            what="loads the driver", kind="oneshot", command=load
        ),
    }
    manager = _UNIT.format(what="fabric manager", kind="simple", command="/bin/sleep infinity")
    return [
        Deb("nvidia-driver-535", full, f"libnvidia-compute-535 (= {full})", files, _script("postinst", version)),
        Deb("libnvidia-compute-535", full),
        Deb("nvidia-fabricmanager-535", full, files={"/lib/systemd/system/nvidia-fabricmanager.service": manager}),
    ]


def _script(name: str, version: str) -> str:
    text = resources.files("provision.lab").joinpath(f"driver/{name}.sh").read_text()
    return text.replace("@VERSION@", version)


def _tar(files: Mapping[str, tuple[str, int]]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in sorted({str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}):
            entry = tarfile.TarInfo(f"./{folder}/")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, (text, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), mode
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


def _member(name: str, content: bytes) -> bytes:
    """One member of an ar(5) archive."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
    return head.encode() + content + b"\n" * (len(content) % 2)
