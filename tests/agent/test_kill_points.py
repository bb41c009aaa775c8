"""An environment's installation and flip killed at enumerated moments: what serves is whole, and a re-run converges.

PROVISION_KILL_POINTS: how many moments (12); PROVISION_KILL_SEED: another sample of them. `make test-more` takes 500.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conda_parts import Host, build, serving
from kill_points import own_moments, told_moments

from provision.agent import flipping, generations, pruning, seal, tools
from provision.agent.resources import conda_env, conda_flip
from provision.agent.system import System

POINTS = int(os.environ.get("PROVISION_KILL_POINTS") or 12)
SEED = os.environ.get("PROVISION_KILL_SEED") or "20261125"
CHUNK = 15
"""Moments of one test."""


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "popen-gw" in folder.name else folder
    build(shared / "small-conda-parts", small=True)
    return shared / "small-conda-parts"


@pytest.fixture(scope="session")
def url(parts: Path) -> Iterator[str]:
    with serving(parts) as address:
        yield address


@dataclass
class Site:
    """A host with an environment that goes from lock to lock, and data of people beside it."""

    host: Host
    specs: dict[str, conda_env.Spec]

    def converge(self, lock: str) -> bool:
        """Whether anything was done."""
        spec, done = self.specs[lock], False
        flip = conda_flip.Spec(name="env", lock=spec.lock, root=spec.root)
        modules: list[tuple[Any, Any]] = [(conda_env, spec), (conda_flip, flip)]
        for module, wanted in modules:
            system = self.host.system()
            for action in module.decide(wanted, module.observe(wanted, system)):
                module.apply(action, system, lambda **_: None)
                done = True
        return done

    def serves(self) -> str:
        """The lock that serves, whole by the checksums of its packages and by its python; "" for none."""
        system, link = self.host.system(depth="hashes"), Path(self.host.root, "envs/env")
        if not os.path.lexists(link):
            return ""
        found = generations.current(system, self.host.root, "env")
        assert link.is_symlink() and found is not None, "the link leads to no generation"
        lock = next(name for name, spec in self.specs.items() if spec.lock == found.lock)
        assert generations.seal_of(system, found.path)["lock"] == found.lock, "what serves is not sealed"
        assert seal.differences(system, found.path, "hashes") == ([], [])
        said = subprocess.run(["env", "-i", f"{link}/bin/alpha"], capture_output=True, text=True, check=True).stdout
        assert said == {"one": "1\n", "two": "2\n"}[lock]
        return lock

    def make_ready(self, fresh: bool, cold: bool) -> tuple[str, str]:
        """The lock that serves and the one to go to, not built yet. `cold`: no package is in the cache."""
        system, old = self.host.system(), self.serves()
        if fresh and old:
            absent = conda_env.Spec(name="env", root=self.host.root, state="absent")
            for action in conda_env.decide(absent, conda_env.observe(absent, system)):
                conda_env.apply(action, system, self.host.emit)
            old = ""
        if not fresh and not old:
            self.converge("one")
            old = "one"
        new = "two" if old == "one" else "one"
        while unwanted := generations.find(system, self.host.root, "env", self.specs[new].lock):
            pruning.discard(system, self.host.root, "env", unwanted.path)
        if cold:
            shutil.rmtree(Path(self.host.root, "pkgs"), ignore_errors=True)
        return old, new


@pytest.fixture(scope="session")
def site(parts: Path, url: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        host = Host(Path(folder), parts, url)
        site = Site(host, {lock: host.spec(lock, pip=("gamma==3.1",)) for lock in ("one", "two")})
        site.converge("one")
        for mine in MINE:
            path = Path(host.root, mine)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("years of work")
        yield site


MINE = ("envs/mine/data", "envs/.generations/notes", "envs/.generations/env/mine/rows", "models/weights")


@pytest.fixture(scope="session")
def moments(site: Site) -> list[tuple[bool, bool, int]]:
    """500 moments or more: whether they are of the agent's own, whether no package is in the cache, and their number.

    All of the agent's own, with a cold and a warm cache; the rest are spread over what the installers do in either.
    """
    found = []
    _, new = site.make_ready(fresh=False, cold=False)
    own = own_moments(partial(site.converge, new), site.host.root)
    for cold in (False, True):
        _, new = site.make_ready(fresh=False, cold=cold)
        told = told_moments(partial(site.converge, new))
        found += [(True, cold, number) for number in range(1, own + 1)]
        rest = max(500, POINTS) // 2 - own
        found += [(False, cold, max(1, told * number // (rest + 5))) for number in range(1, rest + 1)]
    return random.Random(SEED).sample(found, min(POINTS, len(found)))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(-(-POINTS // CHUNK)))
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(
    site: Site, moments: list[tuple[bool, bool, int]], chunk: int
) -> None:
    picked, killed = moments[chunk * CHUNK : (chunk + 1) * CHUNK], 0
    for at, (own, cold, number) in enumerate(picked):
        old, new = site.make_ready(fresh=at % 5 == 4, cold=cold)
        link = Path(site.host.root, "envs/env")
        before = link.readlink() if old else None
        act = partial(site.converge, new)
        reached = own_moments(act, site.host.root, number) if own else told_moments(act, number)
        killed += reached >= number
        name = f"{'own' if own else 'told'} {number}, {'cold' if cold else 'warm'}, {old or 'nothing'} to {new}"
        now = site.serves()
        assert now in (old, new), name
        assert now == new or not old or link.readlink() == before, name
        site.converge(new)
        assert site.serves() == new, name
        assert not site.converge(new), f"{name}: the next run changes something"
        assert generations.unsealed(site.host.system(), site.host.root, "env") == [], name
        assert {Path(site.host.root, mine).read_text() for mine in MINE} == {"years of work"}, name
        left = list(Path(site.host.root, "envs").glob(".provision-*"))
        # killed in the one call between the exchange and the end of the old link: the next flip removes that
        assert len(left) <= 1 and all(path.is_symlink() for path in left), name
    assert killed >= len(picked) * 0.8, f"only {killed} of {len(picked)} were killed"


def test_a_kill_at_any_moment_of_taking_over_a_directory_keeps_it(tmp_path: Path) -> None:
    """The exchange of a real directory for the link, at each of its calls; nothing but the two is left by the next."""
    number, ended = 0, False
    while not ended:
        number += 1
        root = tmp_path / str(number)
        system, generation = System(blob=str), by_hand(root)
        mine = root / "envs/env/mine"
        mine.parent.mkdir()
        mine.write_text("years of work")
        flip = partial(flipping.flip, system, str(root), "env", generation, takeover=True)
        ended = own_moments(flip, str(root), number) < number
        kept = [path for path in (mine, root / "envs/env.before/mine") if path.exists()]
        assert [path.read_text() for path in kept] == ["years of work"], number
        flip()
        assert (root / "envs/env").resolve() == Path(generation.path)
        assert (root / "envs/env.before/mine").read_text() == "years of work"
        left = sorted(path.name for path in (root / "envs").iterdir())
        assert left == [".generations", "env", "env.before"], number
    assert number > 4


def test_tools_are_unpacked_whole_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    archive = tmp_path / "tool.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in ("tool/__init__.py", "tool/more/data", "tool/last"):
            packed.writestr(name, name)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    number, ended = 0, False
    while not ended:
        number += 1
        state = tmp_path / str(number)
        system = System(blob=lambda _: str(archive), state_directory=str(state))
        unpack = partial(tools.supervisor_directory, system, digest)
        ended = own_moments(unpack, str(state), number) < number
        found = Path(unpack())
        assert {str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()} == set(
            zipfile.ZipFile(archive).namelist()
        )
        assert [path.name for path in (state / "tools").iterdir()] == [digest[:12]], number
    assert number > 6


def by_hand(root: Path) -> generations.Generation:
    system, lock = System(blob=str), "0" * 64
    path = generations.expected_path(str(root), "env", lock)
    system.mkdir(generations.notes_directory(path))
    seal.write(system, path, {"lock": lock})
    return generations.Generation(path, lock, 1)
