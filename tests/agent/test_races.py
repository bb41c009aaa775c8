"""Data that comes to a step's path between its look and its act is never lost: tried before each call that it makes.

What came before the look is another matter: that is what the operator said is to be replaced, and it is shown.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from intruders import DATA, INTRUDERS, Interrupted, holders
from resource_parts import names

from provision.agent import files, generations, seal
from provision.agent.protocol import Step
from provision.agent.resource import Refusal
from provision.agent.resources import conda_flip
from provision.agent.system import System
from provision.agent.worker import Outcome, converge

Prepare = Callable[[Path], None]


def nothing(_: Path) -> None:
    pass


def a_file(path: Path) -> None:
    path.write_text("old\n")


def a_link(path: Path) -> None:
    path.symlink_to("/nowhere")


STEPS: dict[str, tuple[Prepare, str, dict[str, Any]]] = {
    "link made": (nothing, "link", {"target": "/tmp"}),
    "link changed": (a_link, "link", {"target": "/tmp"}),
    "link taken away": (a_link, "link", {"state": "absent"}),
    "file made": (nothing, "file", {"content": "new\n"}),
    "file changed": (a_file, "file", {"content": "new\n", "mode": "0600"}),
    "file changed, with a backup": (a_file, "file", {"content": "new\n", "backup": True}),
    "file in the place of a link": (a_link, "file", {"content": "new\n"}),
    "file touched": (nothing, "file", {"state": "touch"}),
    "file taken away": (a_file, "file", {"state": "absent"}),
    "link taken away as file": (a_link, "file", {"state": "absent"}),
    "directory made": (nothing, "file", {"state": "directory", "mode": "0700"}),
    "directory taken away": (Path.mkdir, "file", {"state": "absent"}),
    "line in a new file": (nothing, "lineinfile", {"line": "new", "create": True}),
    "line in a file": (a_file, "lineinfile", {"line": "new", "backup": True}),
    "block in a file": (a_file, "blockinfile", {"block": "new"}),
}
WITHOUT_EXCHANGE = [name for name in STEPS if "changed" not in name and "in a file" not in name and "place" not in name]


def step(resource: str, spec: dict[str, Any], outcome: Outcome, blob: Callable[[str], str] = str) -> None:
    """Do it as the agent's loop does."""
    host = System(blob=blob)
    converge(Step(1, resource, spec), host, lambda **_: None, lambda _: None, outcome)


Act = Callable[[Path, Outcome], None]


def races(folder: Path, prepare: Prepare, act: Act, come: Callable[[Path], None], plain: bool = False) -> int:
    """Run a step with somebody coming before each of its calls: what he brought is there, where it is said to be.

    Where the step saw it before it decided, it showed what it would replace. How many calls there were.
    """
    number, count = 0, 1
    while number < count:
        number += 1
        path, outcome = folder / str(number) / "place/target", Outcome()
        path.parent.mkdir(parents=True)
        prepare(path)
        race = Interrupted(partial(come, path), number)
        told = race.during(partial(act, path, outcome), plain=plain)
        count = race.count
        shown = "".join(action.before or "" for action in outcome.actions)
        if count >= number and DATA not in shown and SEEN not in shown:
            _need_named(folder / str(number), path, told, f"call {number} of {count}")
        shutil.rmtree(folder / str(number))
    return count


def _need_named(folder: Path, path: Path, told: str, moment: str) -> None:
    """At the path, at what it leads to, in a backup beside it, or where the refusal says."""
    found = holders(folder)
    assert found, f"{moment}: the data is gone; the step says: {told or 'changed'}"
    places = [path, folder / "kept", path.resolve()]
    named = [held for held in found if any(held.is_relative_to(place) for place in places) or str(held) in told]
    backups = [held for held in found if held.name.startswith("target.") and held.name.endswith("~")]
    assert named or backups, f"{moment}: nothing says that the data is in {found}; the step says: {told or 'changed'}"


SEEN = "target: other content"
"""How `unarchive` says that it saw another file."""


@pytest.mark.parametrize("who", INTRUDERS)
@pytest.mark.parametrize("name", STEPS)
def test_what_comes_in_between_stays(tmp_path: Path, name: str, who: str) -> None:
    prepare, resource, spec = STEPS[name]
    act = lambda path, outcome: step(resource, {"path": str(path), **spec}, outcome)  # noqa: E731
    assert races(tmp_path, prepare, act, INTRUDERS[who]) > 4


@pytest.mark.parametrize("who", INTRUDERS)
@pytest.mark.parametrize("name", WITHOUT_EXCHANGE)
def test_so_it_does_on_file_systems_without_the_careful_renames(tmp_path: Path, name: str, who: str) -> None:
    prepare, resource, spec = STEPS[name]
    act = lambda path, outcome: step(resource, {"path": str(path), **spec}, outcome)  # noqa: E731
    races(tmp_path, prepare, act, INTRUDERS[who], plain=True)


def packed(folder: Path) -> Path:
    path = folder / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in (("target", "new\n"), ("other", "x")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("more")
        link.type, link.linkname = tarfile.SYMTYPE, "target"
        archive.addfile(link)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("who", INTRUDERS)
@pytest.mark.parametrize("prepare", [nothing, a_file])
def test_members_of_an_archive_replace_only_what_was_seen(tmp_path: Path, prepare: Prepare, who: str) -> None:
    archive = packed(tmp_path)

    def act(path: Path, outcome: Outcome) -> None:
        step("unarchive", {"src": str(archive), "remote_src": True, "dest": str(path.parent)}, outcome)

    races(tmp_path / "races", prepare, act, INTRUDERS[who])


@pytest.mark.parametrize("who", INTRUDERS)
@pytest.mark.parametrize("prepare", [nothing, a_file])
def test_files_of_a_copied_directory_replace_only_what_was_seen(tmp_path: Path, prepare: Prepare, who: str) -> None:
    content = tmp_path / "content"
    content.write_text("new\n")
    digest = hashlib.sha256(content.read_bytes()).hexdigest()

    def act(path: Path, outcome: Outcome) -> None:
        spec = {"path": str(path.parent), "files": {"target": digest}, "folders": ["sub"], "links": {"sub/l": "x"}}
        step("file_tree", spec, outcome, blob=lambda _: str(content))

    races(tmp_path / "races", prepare, act, INTRUDERS[who])


@pytest.mark.parametrize("who", ["file", "directory"])
def test_an_environment_s_link_replaces_no_data(tmp_path: Path, who: str) -> None:
    system, lock = System(blob=str), "1" * 64

    def prepare(path: Path) -> None:
        root = path.parent.parent / "root"
        (root / "envs").mkdir(parents=True)
        path.parent.rmdir()
        path.parent.symlink_to(root / "envs")
        made = generations.expected_path(str(root), "target", lock)
        system.mkdir(generations.notes_directory(made))
        seal.write(system, made, {"lock": lock})
        path.symlink_to(".generations/target/000000000000-1")

    def act(path: Path, _: Outcome) -> None:
        spec = conda_flip.Spec(name="target", lock=lock, root=str(path.parent.parent / "root"))
        for action in conda_flip.decide(spec, conda_flip.observe(spec, system)):
            conda_flip.apply(action, system, lambda **_: None)

    races(tmp_path, prepare, act, lambda path: INTRUDERS[who](path.parent.resolve() / path.name))


def test_what_comes_while_a_third_thing_is_put_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice in one instant: the first is put back, the second is kept beside it under a name that is told."""
    path, brought, whole = tmp_path / "target", iter([b"first", b"second"]), files.exchange
    path.write_bytes(b"old")

    def exchange(one: str, other: str) -> bool:
        for text in brought:
            path.unlink()
            path.write_bytes(text)
            break
        return whole(one, other)

    monkeypatch.setattr(files, "exchange", exchange)
    with pytest.raises(Refusal) as refused:
        files.write(str(path), b"new", 0o644, -1, -1, files.mark(str(path)))
    (kept,) = [found for found in tmp_path.iterdir() if found != path]
    assert (path.read_bytes(), kept.read_bytes()) == (b"first", b"second")
    assert refused.value.cause.endswith(f", and what came in the same instant is `{kept}` now")


def test_refusals_of_changed_paths(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(DATA)
    for act in (
        lambda: files.write(str(path), b"", 0o644, -1, -1, files.NOTHING),
        lambda: files.remove(str(path), (1, 2, 3)),
    ):
        with pytest.raises(Refusal) as refused:
            act()
        told = (refused.value.summary, refused.value.cause, refused.value.hint)
        assert told == (
            f"`{path}` was changed by somebody else",
            "it is not what was there when this step looked; nothing of it was replaced",
            "look at what is there, and run again",
        )
    assert path.read_text() == DATA and names(tmp_path) == ["file"]
