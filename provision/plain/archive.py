"""Supervisor and the programs beside it, as one zip that a host without systemd unpacks.

Packs the supervisor that was installed with provision, whose content is pinned here. Must not contact any host.
"""

from __future__ import annotations

import hashlib
import zipfile
from importlib.util import find_spec
from pathlib import Path

from provision.cache import once
from provision.conda.tools import Tool, kept, pack_files
from provision.errors import ProvisionError

__all__ = ["supervisor_archive"]

VERSION = "4.3.0"
CONTENT = "0e4b7d4f6af0b0873c2f0243d98b703139f2daa77313b37750654cf5f5fec79e"
"""SHA-256 over the paths and contents of that version's files."""
PROGRAMS = ("keep.py", "launch.py", "ask.py")


@once
def supervisor_archive() -> Tool:
    """The zip, packed once and kept in the cache; ProvisionError where supervisor is missing or is another one."""
    programs = {name: (Path(__file__).parent / name).read_bytes() for name in PROGRAMS}
    name = f"supervisor-{VERSION}-{_digest(programs)[:12]}.zip"

    def pack(path: Path) -> None:
        files = _supervisor()
        found = _digest(files)
        if found != CONTENT:
            raise _unfit(f"its files have SHA-256 {found}, meant is {CONTENT}")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            pack_files(archive, files | programs)

    return kept(name, pack)


def _supervisor() -> dict[str, bytes]:
    """The files of the package by their path in the archive; its own tests and what only a browser shows stay here."""
    spec = find_spec("supervisor")
    if spec is None or not spec.submodule_search_locations:
        raise _unfit("it is not installed")
    package = Path(spec.submodule_search_locations[0])
    paths = (path for path in sorted(package.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    named = {path.relative_to(package).as_posix(): path for path in paths}
    return {f"supervisor/{name}": path.read_bytes() for name, path in named.items() if not name.startswith("tests/")}


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()


def _unfit(cause: str) -> ProvisionError:
    return ProvisionError(
        f"there is no supervisor {VERSION} to send to hosts without systemd",
        cause=cause,
        hint=f"install it beside provision: pip install supervisor=={VERSION}",
    )
