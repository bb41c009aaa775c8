"""`unarchive` with real archives: what is taken out, what is refused, and that nothing leaves the directory."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from resource_parts import done, names, verbs

from provision.agent import unpacking
from provision.agent.resource import Refusal

MTIME = 1_700_000_000
LINK = "it is a link to `%s`, out of the directory"
SETUID = "it would run as its owner or group, whoever starts it (mode 04755)"


def _tar(path: Path, *entries: dict[str, Any], mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            data = entry.pop("data", b"")
            info = tarfile.TarInfo(entry.pop("name"))
            info.mtime, info.size, info.mode = MTIME, len(data), 0o644
            for key, value in entry.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def _usual(path: Path, mode: str = "w:gz") -> Path:
    return _tar(
        path,
        {"name": "./model", "type": tarfile.DIRTYPE, "mode": 0o755},
        {"name": "./model/run.sh", "data": b"#!/bin/sh\n", "mode": 0o755},
        {"name": "./model/weights", "data": b"w" * 300_000},
        {"name": "./model/latest", "type": tarfile.SYMTYPE, "linkname": "weights"},
        {"name": "./model/same", "type": tarfile.LNKTYPE, "linkname": "./model/run.sh", "mode": 0o755},
        mode=mode,
    )


def _spec(archive: Path, place: Path, **more: Any) -> dict[str, Any]:
    place.mkdir(exist_ok=True)
    return {"src": str(archive), "dest": str(place), "remote_src": True, **more}


@pytest.mark.parametrize(
    ("packing", "handler"),
    [("w", "TarArchive"), ("w:gz", "TgzArchive"), ("w:bz2", "TarBzipArchive"), ("w:xz", "TarXzArchive")],
)
def test_an_archive_is_unpacked_once(tmp_path: Path, packing: str, handler: str) -> None:
    spec = _spec(_usual(tmp_path / "a", packing), tmp_path / "x", list_files=True)
    planned = done("unarchive", spec, check=True)
    assert names(tmp_path / "x") == []
    made = done("unarchive", spec)
    assert verbs(planned) == verbs(made) == [f"change {tmp_path}/x"]
    assert made.fields["handler"] == handler
    assert made.fields["files"] == ["model/", "model/run.sh", "model/weights", "model/latest", "model/same"]
    model = tmp_path / "x/model"
    assert (model / "weights").read_bytes() == b"w" * 300_000 and (model / "latest").readlink() == Path("weights")
    assert (model / "same").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((model / "run.sh").stat().st_mode) == 0o755
    assert (model / "run.sh").stat().st_mtime == MTIME
    (model / "own").write_text("kept")
    assert verbs(done("unarchive", spec)) == [] and verbs(done("unarchive", spec, check=True)) == []
    (model / "weights").write_bytes(b"v" * 300_000)
    (model / "run.sh").chmod(0o700)
    again = done("unarchive", spec)
    assert again.actions[0].before is not None and "model/weights: other content" in again.actions[0].before
    assert (model / "weights").read_bytes() == b"w" * 300_000 and (model / "own").read_text() == "kept"
    assert verbs(done("unarchive", spec)) == []


def test_a_zip_is_unpacked_with_its_modes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plain.txt", "text")
        info = zipfile.ZipInfo("bin/tool")
        info.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(info, "#!/bin/sh\n")
    spec = _spec(tmp_path / "a.zip", tmp_path / "x")
    made = done("unarchive", spec)
    assert made.fields["handler"] == "ZipArchive"
    assert (tmp_path / "x/plain.txt").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "x/bin/tool").stat().st_mode) == 0o755
    assert verbs(done("unarchive", spec)) == []


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the program zstd is not here")
def test_zstd_is_unpacked_where_the_program_is(tmp_path: Path) -> None:
    plain = _usual(tmp_path / "a.tar", "w")
    subprocess.run(["zstd", "-q", "-o", tmp_path / "a.tar.zst", plain], check=True)
    spec = _spec(tmp_path / "a.tar.zst", tmp_path / "x")
    assert done("unarchive", spec).fields["handler"] == "TarZstdArchive"
    assert verbs(done("unarchive", spec)) == []
    assert (tmp_path / "x/model/run.sh").exists()


def test_only_what_is_included_or_not_excluded(tmp_path: Path) -> None:
    archive = _usual(tmp_path / "a")
    done("unarchive", _spec(archive, tmp_path / "x", exclude=["weights", "*.sh"]))
    assert names(tmp_path / "x/model") == ["latest", "same"]
    done("unarchive", _spec(archive, tmp_path / "y", include=["model/run.sh"]))
    assert names(tmp_path / "y/model") == ["run.sh"]


def test_a_mode_is_set_on_all_and_means_directories_too(tmp_path: Path) -> None:
    spec = _spec(_usual(tmp_path / "a"), tmp_path / "x", mode="u=rwX,go=")
    done("unarchive", spec)
    modes = {
        name: stat.S_IMODE((tmp_path / "x" / name).stat().st_mode)
        for name in ("model", "model/weights", "model/run.sh")
    }
    assert modes == {"model": 0o700, "model/weights": 0o600, "model/run.sh": 0o700}
    assert verbs(done("unarchive", spec)) == []


def test_a_host_that_has_all_needs_the_list_alone(tmp_path: Path) -> None:
    archive = _usual(tmp_path / "a")
    listing = json.dumps({"handler": "TgzArchive", "members": unpacking.members(str(archive))}).encode()
    (tmp_path / "listing").write_bytes(listing)
    places, asked = {"archive": archive, "listing": tmp_path / "listing"}, []

    def blob(name: str) -> str:
        asked.append(name)
        return str(places[name])

    spec = {"src": "a.tar.gz", "dest": str(tmp_path / "x"), "src_blob": "archive", "listing_blob": "listing"}
    (tmp_path / "x").mkdir()
    assert verbs(done("unarchive", spec, blob=blob)) == [f"change {tmp_path}/x"]
    assert "archive" in asked
    asked.clear()
    assert verbs(done("unarchive", spec, blob=blob)) == []
    assert asked == ["listing"]


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ({"name": "../out", "data": b"x"}, "its name leads out of the directory"),
        ({"name": "/etc/out", "data": b"x"}, "its name leads out of the directory"),
        ({"name": "a/../../out", "data": b"x"}, "its name leads out of the directory"),
        ({"name": "l", "type": tarfile.SYMTYPE, "linkname": "/etc"}, LINK % "/etc"),
        (
            {"name": "a/l", "type": tarfile.SYMTYPE, "linkname": "../../b"},
            "it is a link to `../../b`, out of the directory",
        ),
        ({"name": "null", "type": tarfile.CHRTYPE}, "it is a device or a pipe"),
        ({"name": "pipe", "type": tarfile.FIFOTYPE}, "it is a device or a pipe"),
        (
            {"name": "su", "data": b"x", "mode": 0o4755},
            "it would run as its owner or group, whoever starts it (mode 04755)",
        ),
    ],
)
def test_what_leads_out_or_gains_rights_is_refused_before_anything_is_written(
    tmp_path: Path, entry: dict[str, Any], cause: str
) -> None:
    name = entry["name"]
    archive = _tar(tmp_path / "a", {"name": "good", "data": b"x"}, entry)
    with pytest.raises(Refusal) as refused:
        done("unarchive", _spec(archive, tmp_path / "x"))
    assert (refused.value.summary, refused.value.cause) == (f"the archive holds `{name}`", cause)
    assert names(tmp_path / "x") == []


def test_a_member_behind_a_link_of_the_archive_is_refused(tmp_path: Path) -> None:
    archive = _tar(
        tmp_path / "a", {"name": "l", "type": tarfile.SYMTYPE, "linkname": "."}, {"name": "l/f", "data": b"x"}
    )
    with pytest.raises(Refusal) as refused:
        done("unarchive", _spec(archive, tmp_path / "x"))
    assert refused.value.cause == "it lies behind `l`, which is no directory"


def test_nothing_is_written_through_a_link_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x/model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal) as refused:
        done("unarchive", _spec(_usual(tmp_path / "a"), tmp_path / "x"))
    assert refused.value.summary.startswith("cannot unpack `model")
    assert names(tmp_path / "elsewhere") == []


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    data = _usual(tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.raises(Refusal) as refused:
        done("unarchive", _spec(tmp_path / "a", tmp_path / "x"))
    assert refused.value.summary == "the archive cannot be read"
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(Refusal) as refused:
        done("unarchive", _spec(tmp_path / "text", tmp_path / "x"))
    assert refused.value.summary == f"`{tmp_path}/text` is no archive"
    assert names(tmp_path / "x") == []
