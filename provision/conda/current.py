"""What `prepare` found good, kept by the content of every file that it looked at: the same files are not judged again.

Owns the note in the cache folder. Must not judge a lock or an environment.yml; where anything differs there is no note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provision import __version__
from provision.cache import cache_folder
from provision.conda.capability import Uses
from provision.conda.locked import Lock, Paths, from_manifest
from provision.conda.mirrors import Settings
from provision.whole_file import write_whole

__all__ = ["prepared"]

Report = Callable[[str], None]
_RULES = ("recipes.toml", "torch_sets.toml", "names.toml")


def prepared(
    files: Iterable[Path], settings: Settings, *, uses: Uses | None = None, strict: bool, report: Report
) -> dict[Path, Lock]:
    """As `prepare.prepare`, which is asked where a file, a rule or a setting is not what it was the last time."""
    wanted = list(dict.fromkeys(files))
    note = cache_folder() / "prepared" / f"{_question(wanted, settings, uses, strict)}.json"
    kept = _kept(note, wanted)
    if kept is not None:
        locks, said = kept
        for line in said:
            report(line)
        return locks
    from provision.conda.prepare import prepare

    lines: list[str] = []

    def told(line: str) -> None:
        lines.append(line)
        report(line)

    before = {path: _sha256(path) for path in wanted if path.is_file()}
    locks = prepare(wanted, settings, uses=uses, strict=strict, report=told)
    if locks and not any(line.startswith(("locking ", "locked ")) for line in lines):
        _keep(note, locks, before, lines)
    return locks


def _question(files: Iterable[Path], settings: Settings, uses: Uses | None, strict: bool) -> str:
    """Everything but the contents of the files that the answer depends on."""
    rules = [_sha256(Path(__file__).with_name(name)) for name in _RULES]
    asked = [__version__, rules, [str(path.absolute()) for path in files], repr(settings), repr(uses), strict]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _kept(note: Path, files: Iterable[Path]) -> tuple[dict[Path, Lock], list[str]] | None:
    """The locks and what was said of them; None where there is no note or a file is another one now."""
    try:
        known = json.loads(note.read_text("utf-8"))
        if any(_sha256(Path(path)) != digest for path, digest in known["files"].items()):
            return None
        where = {path: Paths(*map(Path, known["locks"][str(path.absolute())])) for path in files}
        locks = {
            path: from_manifest(json.loads(paths.manifest.read_text("utf-8")), paths) for path, paths in where.items()
        }
        return locks, list(known["said"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(note: Path, locks: Mapping[Path, Lock], read: Mapping[Path, str], said: list[str]) -> None:
    """Write the note; a cache that cannot be written costs only time.

    It names what was judged, not what the files hold by now: `read` are the environment files' SHA-256 from before.
    """
    files: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    try:
        for path, lock in locks.items():
            where, manifest = lock.paths, lock.paths.manifest.read_bytes()
            if from_manifest(json.loads(manifest), where) != lock:
                return
            known = {path: read[path], where.manifest: hashlib.sha256(manifest).hexdigest()}
            parts = ((where.conda, lock.files["conda"]), (where.pip, lock.files["pip"]))
            known |= {each: digest for each, digest in parts if digest}
            files |= {str(each.absolute()): digest for each, digest in known.items()}
            places[str(path.absolute())] = [str(each.absolute()) for each in (where.manifest, where.conda, where.pip)]
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(note, json.dumps({"files": files, "locks": places, "said": said}), durable=False)
    except (OSError, ValueError, KeyError, TypeError):
        pass


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
