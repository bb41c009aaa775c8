#!/usr/bin/env python3
"""A stand-in for micromamba, for a lab: installs an @EXPLICIT list with py-rattler's own installer, and does no more.

No Python package index has a real micromamba or conda. This program takes the options that an installation from a list
uses, checks the hashes, unpacks and links: it shows what our half asks of such a program, not what a real one does.
Stands alone: standard library, and `rattler` from the folder that RATTLER_FOLDER names, else from `lib` beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

VERSION = "0 (a stand-in of provision's lab)"


def main() -> int:
    parser = argparse.ArgumentParser(prog="micromamba")
    parser.add_argument("--version", action="version", version=VERSION)
    create = parser.add_subparsers(dest="command", required=True).add_parser("create")
    create.add_argument("--prefix", type=Path, required=True)
    create.add_argument("--file", type=Path, required=True)
    for option in ("--yes", "--offline", "--download-only"):
        create.add_argument(option, action="store_true")
    asked = parser.parse_args()
    if asked.prefix.exists():
        raise SystemExit("Non-conda folder exists at prefix - aborting.")
    lines = asked.file.read_text().split()
    if lines[0] != "@EXPLICIT":
        raise SystemExit("this stand-in reads @EXPLICIT lists only")
    asyncio.run(create_environment(asked, [packed(line) for line in lines[1:]]))
    return 0


def packed(line: str) -> tuple[Path, str]:
    """The archive that a line names, and its line's URL; SystemExit when its hash is another."""
    url, _, checksum = line.partition("#")
    path = Path(unquote(urlsplit(url).path))
    data = path.read_bytes()
    kind, _, wanted = checksum.rpartition(":")
    found = hashlib.new(kind or "md5", data).hexdigest()
    if found != wanted:
        raise SystemExit(f"{path.name} has {kind or 'md5'} {found}, the list says {wanted}")
    return path, url


async def create_environment(asked: argparse.Namespace, archives: list[tuple[Path, str]]) -> None:
    """Unpack into CONDA_PKGS_DIRS, as a real one does; link unless only that was asked for."""
    sys.path.insert(0, os.environ.get("RATTLER_FOLDER", str(Path(__file__).resolve().parent / "lib")))
    from rattler.package_streaming import extract

    cache, records = Path(os.environ["CONDA_PKGS_DIRS"]), []
    for path, url in archives:
        folder = cache / path.name.removesuffix(".conda").removesuffix(".tar.bz2")
        if not folder.exists():
            extract(path, folder)
        records.append(record(folder, path, url))
    if asked.download_only:
        return
    from rattler import install

    await install(
        records=records,
        target_prefix=asked.prefix,
        cache_dir=cache / "linked",
        execute_link_scripts=True,
        show_progress=False,
    )


def record(folder: Path, path: Path, url: str) -> Any:
    """What rattler installs by."""
    from rattler import PackageRecord, RepoDataRecord

    data = path.read_bytes()
    own = PackageRecord.from_index_json(folder / "info/index.json", len(data), hashlib.sha256(data).hexdigest())
    return RepoDataRecord(own, path.name, url, url.rsplit("/", 2)[0])


if __name__ == "__main__":
    code: int | str | None = 1
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))
