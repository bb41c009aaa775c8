"""Archives: what is in one, and taking it out below one directory without ever leaving that.

tar, plain or packed with gzip, bzip2, xz or (with the program zstd) zstd, and zip. Nothing that an archive says is
trusted: names and links that lead out, devices, and programs that change who runs them are refused before anything is
written.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .resource import Refusal

__all__ = ["ZSTD", "contents", "handler", "kind_of", "members", "place"]

ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 20
_HANDLERS = (
    (b"PK", "ZipArchive"),
    (ZSTD, "TarZstdArchive"),
    (b"\x1f\x8b", "TgzArchive"),
    (b"BZh", "TarBzipArchive"),
    (b"\xfd7zX", "TarXzArchive"),
)

Member = Dict[str, Any]
"""`name` (clean, relative), `kind` (file, directory, link), `mode`, `size`, `mtime`, `sha256`, `link`, `uid`, `gid`,
`owner`, `group` (those four None where the archive has none)."""


def kind_of(path: str) -> str:
    """zip, zstd, tar or, for what is no archive, ""."""
    import tarfile

    with open(path, "rb") as stream:
        start = stream.read(4)
    if start in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if start == ZSTD:
        return "zstd"
    return "tar" if tarfile.is_tarfile(path) else ""


def handler(path: str) -> str:
    """What Ansible calls that kind of archive."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    return next((name for sign, name in _HANDLERS if start.startswith(sign)), "TarArchive")


def members(path: str) -> List[Member]:
    """All members, of several with one name the last, each with the SHA-256 of its content; Refusal for a bad one."""
    import hashlib

    found: Dict[str, Member] = {}
    for member, content in contents(path):
        if member["kind"] == "file":
            digest, member["size"] = hashlib.sha256(), 0
            for chunk in content or ():
                digest.update(chunk)
                member["size"] += len(chunk)  # a hard link says 0
            member["sha256"] = digest.hexdigest()
        if member["name"] != ".":
            found[member["name"]] = member
    _need_within(found)
    return list(found.values())


def contents(path: str) -> Iterator[Tuple[Member, Optional[Iterator[bytes]]]]:
    """Each member with its content, which is to be read before the next one; Refusal for what cannot be read."""
    with _readable():
        yield from _zip(path) if kind_of(path) == "zip" else _tar(path)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What is wrong with an archive as a Refusal."""
    import lzma
    import tarfile
    import zipfile
    import zlib

    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, RuntimeError) as error:
        told = str(error) or type(error).__name__
        raise Refusal("the archive cannot be read", told, "see that it is whole") from None


def place(destination: str, name: str) -> str:
    """Where a member goes; Refusal where a link or a file stands on the way to it."""
    path = destination
    for part in name.split("/")[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
            what = "a link" if os.path.islink(path) else "a file"
            raise Refusal(
                "cannot unpack `%s`" % name,
                "`%s` is %s on its way" % (path, what),
                "move it away, or unpack elsewhere; nothing is written through links",
            )
    return os.path.join(destination, name)


def _tar(path: str) -> Iterator[Tuple[Member, Optional[Iterator[bytes]]]]:
    import tarfile

    with tarfile.open(path, "r:*") as archive:
        for entry in archive:
            member = _member(entry.name, entry.mode, entry.size, int(entry.mtime))
            member.update(uid=entry.uid, gid=entry.gid, owner=entry.uname or None, group=entry.gname or None)
            if entry.isdir():
                yield {**member, "kind": "directory"}, None
            elif entry.issym():
                yield {**member, "kind": "link", "link": entry.linkname}, None
            elif entry.isreg() or entry.islnk():
                source = archive.extractfile(entry)
                if source is None:
                    raise _bad(entry.name, "its hard link leads nowhere")
                _need_harmless(member)
                yield {**member, "kind": "file"}, _chunks(source)
            else:
                raise _bad(entry.name, "it is a device or a pipe")


def _zip(path: str) -> Iterator[Tuple[Member, Optional[Iterator[bytes]]]]:
    import time
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            bits = entry.external_attr >> 16
            when = int(time.mktime((*entry.date_time, 0, 0, -1)))
            default = 0o755 if entry.is_dir() else 0o644
            member = _member(entry.filename, stat.S_IMODE(bits) or default, entry.file_size, when)
            kind = stat.S_IFMT(bits)
            if entry.is_dir():
                yield {**member, "kind": "directory"}, None
            elif kind == stat.S_IFLNK:
                yield {**member, "kind": "link", "link": archive.read(entry).decode("utf-8", "surrogateescape")}, None
            elif kind in (0, stat.S_IFREG):
                _need_harmless(member)
                with archive.open(entry) as source:
                    yield {**member, "kind": "file"}, _chunks(source)
            else:
                raise _bad(entry.filename, "it is a device or a pipe")


def _member(name: str, mode: int, size: int, mtime: int) -> Member:
    clean = os.path.normpath(name)
    if name.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in name or not name:
        raise _bad(name, "its name leads out of the directory")
    return {
        "name": clean, "kind": "", "mode": mode & 0o7777, "size": size, "mtime": mtime, "sha256": "", "link": "",
        "uid": None, "gid": None, "owner": None, "group": None,
    }  # fmt: skip


def _need_harmless(member: Member) -> None:
    if member["mode"] & 0o6000:
        raise _bad(member["name"], "it would run as its owner or group, whoever starts it (mode 0%o)" % member["mode"])


def _need_within(found: Dict[str, Member]) -> None:
    """Refusal where a link leads out of the directory, or a member lies behind a link or a file."""
    for name, member in found.items():
        if member["kind"] == "link":
            to = os.path.normpath(os.path.join(os.path.dirname(name), member["link"]))
            if member["link"].startswith("/") or to == ".." or to.startswith("../"):
                raise _bad(name, "it is a link to `%s`, out of the directory" % member["link"])
        above = os.path.dirname(name)
        while above:
            if above in found and found[above]["kind"] != "directory":
                raise _bad(name, "it lies behind `%s`, which is no directory" % above)
            above = os.path.dirname(above)


def _chunks(source: Any) -> Iterator[bytes]:
    while True:
        with _readable():
            chunk = source.read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _bad(name: str, why: str) -> Refusal:
    return Refusal("the archive holds `%s`" % name, why, "leave it out of the archive; nothing of it was unpacked")
