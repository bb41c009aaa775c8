"""With `backup: true`, what is replaced is kept beside it, each time; also twice within one second."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest
from resource_parts import done, say, server

OLD = "old\n"
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    "copy": ("file", {"path": "{path}", "content": "new\n"}),
    "template": ("file", {"path": "{path}", "content_blob": hashlib.sha256(b"new\n").hexdigest()}),
    "copied directory": ("file_tree", {"path": "{folder}", "files": {"target": hashlib.sha256(b"new\n").hexdigest()}}),
    "lineinfile": ("lineinfile", {"path": "{path}", "line": "new"}),
    "blockinfile": ("blockinfile", {"path": "{path}", "block": "new"}),
    "replace": ("replace", {"path": "{path}", "regexp": "old", "replace": "new"}),
    "get_url": ("get_url", {"url": "{address}/new", "dest": "{path}"}),
    "mount": ("mount", {"path": "/new", "src": "x:/y", "fstype": "nfs", "state": "present", "fstab": "{path}"}),
}


def placed(spec: dict[str, Any], **names: str) -> dict[str, Any]:
    return {key: value.format(**names) if isinstance(value, str) else value for key, value in spec.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_replaced_is_kept_each_time(tmp_path: Path, name: str) -> None:
    resource, spec = WRITERS[name]
    folder, content = tmp_path / "folder", tmp_path / "content"
    folder.mkdir()
    content.write_text("new\n")
    path = folder / "target"
    with server(lambda handler, _: say(handler, 200, b"new\n")) as (address, _):
        for number in range(3):
            path.write_text(OLD * (number + 1))
            path.chmod(0o640)
            given = placed(spec, path=str(path), folder=str(folder), address=address)
            done(resource, {**given, "backup": True}, blob=lambda _: str(content))
            assert "new" in path.read_text()
    kept = [found for found in folder.iterdir() if found != path]
    assert sorted(found.read_text() for found in kept) == [OLD, OLD * 2, OLD * 3]
    assert {stat.S_IMODE(found.stat().st_mode) for found in kept} == {0o640}
