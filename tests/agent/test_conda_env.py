"""Environments built from locks, with the real rattler and uv, against a small real channel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conda_parts import SITE, Host, build, serving

from provision.agent import generations
from provision.agent.resource import Refusal
from provision.agent.resources import conda_env, conda_flip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "popen-gw" in folder.name else folder
    build(shared / "conda-parts")
    return shared / "conda-parts"


@pytest.fixture(scope="session")
def url(parts: Path) -> Iterator[str]:
    with serving(parts) as address:
        yield address


@pytest.fixture
def host(parts: Path, url: str) -> Iterator[Host]:
    """A host in a folder with a short path: a prefix has a limit."""
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        yield Host(Path(folder), parts, url)


def converge(host: Host, spec: Any, module: Any = conda_env, **options: Any) -> Any:
    """Observe, decide, apply; nothing is left to do then. The last state, and what was done."""
    system = host.system(**options)
    actions = module.decide(spec, module.observe(spec, system))
    for action in actions:
        module.apply(action, system, host.emit)
    state = module.observe(spec, system)
    assert module.decide(spec, state) == []
    return state, actions


def install(host: Host, spec: conda_env.Spec) -> str:
    """The path of the generation that was built and serves."""
    state, _ = converge(host, spec)
    converge(host, conda_flip.Spec(name=spec.name, lock=spec.lock, root=spec.root), conda_flip)
    return str(state.built)


def output(*argv: str) -> str:
    return subprocess.run(
        argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    ).stdout.strip()


def test_conda_and_pip_packages_work_from_their_generation(host: Host) -> None:
    spec = host.spec("one", pip=("gamma==3.1", "delta==1.5"), provided=["alpha"])
    path = install(host, spec)
    assert output(f"{path}/bin/alpha") == "1"
    assert output(f"{path}/bin/python", "-c", "import delta, gamma; print(gamma.value)") == "3"
    assert str(Path(host.root, "envs/env").readlink()) == os.path.relpath(path, f"{host.root}/envs")
    assert (
        generations.variables(host.system(), generations.Generation(path, spec.lock, 1))["ALPHA_HOME"]
        == f"{path}/share"
    )
    assert Path(path, "conda-meta/history").exists()


def test_a_new_environment_shows_its_packages(host: Host) -> None:
    spec = host.spec("one", pip=("gamma==3.1",))
    (action,) = conda_env.decide(spec, conda_env.observe(spec, host.system(check=True)))
    assert (action.verb.word, action.target, action.before) == ("install", f"{host.root}/envs/env", None)
    assert {"alpha 1.0 0", "gamma 3.1 (pip)"} <= set((action.after or "").splitlines())
    assert not Path(host.root).exists()


def test_a_changed_lock_shows_what_goes_and_comes(host: Host) -> None:
    install(host, host.spec("one", pip=("gamma==3.1",)))
    spec = host.spec("two")
    (action,) = conda_env.decide(spec, conda_env.observe(spec, host.system()))
    assert action.before == "alpha 1.0 0\ngamma 3.1 (pip)"
    assert action.after == "alpha 2.0 0"


def test_progress_is_told_in_bytes_and_packages(host: Host) -> None:
    install(host, host.spec("one", pip=("gamma==3.1",)))
    units = {shown["unit"] for shown in host.shown if "unit" in shown}
    last = [shown for shown in host.shown if shown.get("unit") == "packages"]
    assert {"bytes", "packages"} <= units
    assert last[-1]["done"] == last[-1]["total"]


def test_no_installed_script_asks_env_for_its_interpreter(host: Host) -> None:
    path = install(host, host.spec("one", pip=("delta==1.5", "gamma==3.1"), provided=["alpha"]))
    scripts = [p for p in Path(path, "bin").iterdir() if p.is_file() and p.read_bytes()[:2] == b"#!"]
    first = {script.name: script.read_text().splitlines()[0] for script in scripts}
    assert set(first) == {"alpha", "own", "delta-tool", "gamma-tool"}
    assert set(first.values()) == {f"#!{path}/bin/python"}
    assert b"env python" in (Path(host.root) / "pkgs/alpha-1.0-0/bin/alpha").read_bytes()  # the cache is untouched


def test_bytecode_is_there_before_anything_runs(host: Host) -> None:
    path = install(host, host.spec("one", pip=("gamma==3.1",)))
    for module in (f"{SITE}/alpha", f"{SITE}/gamma", "lib/python3.11/json"):
        assert list(Path(path, module, "__pycache__").glob("*.pyc"))


def test_files_are_shared_with_the_cache_unless_copies_are_asked_for(host: Host) -> None:
    shared = install(host, host.spec("one", pip=("gamma==3.1",)))
    copied = install(host, host.spec("one", name="copied", pip=("gamma==3.1",), link_mode="copy"))
    for name in (f"{SITE}/alpha/__init__.py", f"{SITE}/gamma/__init__.py"):
        assert Path(shared, name).stat().st_nlink > 1
        assert Path(copied, name).stat().st_nlink == 1


@pytest.mark.parametrize("depth", ["seal", "files", "hashes"])
def test_what_was_just_built_is_right_at_every_depth(host: Host, depth: str) -> None:
    spec = host.spec("one", pip=("gamma==3.1",))
    install(host, spec)
    assert conda_env.decide(spec, conda_env.observe(spec, host.system(depth=depth))) == []


def test_running_it_is_no_drift(host: Host) -> None:
    spec = host.spec("one")
    path = install(host, spec)
    output(f"{path}/bin/python", "-c", "import alpha, json, xml.dom.minidom")
    assert conda_env.observe(spec, host.system(depth="files")).drift == []


@pytest.mark.parametrize(
    ("edit", "seal", "files"),
    [
        (lambda p: p.joinpath(SITE, "alpha/__init__.py").unlink(), [f"missing: {SITE}/alpha/__init__.py"], ...),
        (lambda p: p.joinpath("share/beta0/1/file").write_bytes(b"edited"), [], ["changed: share/beta0/1/file"]),
        (lambda p: shutil.rmtree(p / "share/beta0/1"), ["missing: share/beta0/1/file"], ...),
        (lambda p: p.joinpath(SITE, "alpha/__pycache__/x.pyc").touch(), [], []),
    ],
    ids=["removed", "edited", "folder-removed", "bytecode"],
)
def test_an_edit_is_found(host: Host, edit: Any, seal: list[str], files: Any) -> None:
    spec = host.spec("one")
    edit(Path(install(host, spec)))
    assert conda_env.observe(spec, host.system()).drift == seal
    assert conda_env.observe(spec, host.system(depth="files")).drift == (seal if files is ... else files)


@pytest.mark.parametrize("depth", ["seal", "files", "hashes"])
@pytest.mark.parametrize(
    ("name", "line"),
    [
        (f"{SITE}/extra/data/model.bin", f"added: {SITE}/extra/"),
        (f"{SITE}/alpha/loose.pyc", f"added: {SITE}/alpha/loose.pyc"),
        ("weights.bin", "added: weights.bin"),
        ("cache/x", "added: cache/"),
    ],
)
def test_what_no_package_owns_is_told_and_builds_nothing_again(host: Host, name: str, line: str, depth: str) -> None:
    spec = host.spec("one")
    path = Path(install(host, spec))
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).touch()
    state = conda_env.observe(spec, host.system(depth=depth))
    assert conda_env.decide(spec, state) == []
    assert (state.drift, state.unowned) == ([], [line])
    told = conda_env.fields(spec, state)
    assert told["unowned"] == [line]
    assert told["warning"] == f"no package owns `{line.partition(': ')[2]}` in `{path}`"


def test_an_owned_file_that_became_a_folder_is_drift(host: Host) -> None:
    spec = host.spec("one")
    file = Path(install(host, spec), SITE, "alpha/__init__.py")
    file.unlink()
    file.mkdir()
    state = conda_env.observe(spec, host.system())
    assert state.drift == [f"missing: {SITE}/alpha/__init__.py"]
    assert state.unowned == [f"added: {SITE}/alpha/__init__.py/"]


def test_content_that_kept_its_size_and_time_is_found_by_hashes(host: Host) -> None:
    spec = host.spec("one")
    file = Path(install(host, spec), SITE, "alpha/__init__.py")
    was = file.stat()
    file.write_text("value = 9\n")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert conda_env.observe(spec, host.system(depth="files")).drift == []
    assert conda_env.observe(spec, host.system(depth="hashes")).drift == [f"damaged: {SITE}/alpha/__init__.py"]


def test_an_edited_environment_is_built_again_from_a_checked_cache(host: Host) -> None:
    spec = host.spec("one", pip=("gamma==3.1",))
    first = Path(install(host, spec))
    for name in (f"{SITE}/alpha/__init__.py", f"{SITE}/gamma/__init__.py"):
        (first / name).write_text("value = 666  # an edit through the hard link, into the cache\n")
    (first / SITE / "beta0/__init__.py").unlink()  # what makes the edits be looked for
    second = install(host, spec)
    assert second.endswith("-2")
    assert output(f"{second}/bin/python", "-c", "import alpha, gamma; print(alpha.value, gamma.value)") == "1 3"
    assert conda_env.observe(spec, host.system(depth="hashes")).drift == []


def test_a_frozen_environment_is_left_alone_by_conda_and_pip(host: Host) -> None:
    path = Path(install(host, host.spec("one", pip=("gamma==3.1",), frozen=True)))
    assert json.loads((path / "conda-meta/frozen").read_text())["message"].startswith("base is managed by provision")
    assert (path / "lib/python3.11/EXTERNALLY-MANAGED").read_text().startswith("[externally-managed]")
    state = conda_env.observe(host.spec("one", pip=("gamma==3.1",)), host.system())
    assert state.drift == ["changed: whether it is frozen"]
    thawed = Path(install(host, host.spec("one", pip=("gamma==3.1",))))
    assert thawed != path and not (thawed / "conda-meta/frozen").exists()


def test_torch_and_cuda_are_compared_and_stand_ins_are_marked(host: Host) -> None:
    spec = host.spec("torch", expect={"torch": "2.0.1", "cuda": "11.8"})
    state, _ = converge(host, spec)
    assert state.simulated
    with pytest.raises(Refusal, match=r"environment `other` has cuda 11\.8, meant is 12\.1"):
        converge(host, host.spec("torch", name="other", expect={"torch": "2.0.1", "cuda": "12.1"}))


def refused(host: Host, spec: conda_env.Spec) -> Refusal:
    with pytest.raises(Refusal) as caught:
        converge(host, spec)
    assert list(Path(generations.store(spec.root, spec.name)).glob("*-*")) == []
    return caught.value


def test_what_does_not_import_is_refused_and_leaves_nothing(host: Host) -> None:
    refusal = refused(host, host.spec("broken", imports=["alpha"]))
    assert refusal.summary == "environment `env` does not work as locked"
    assert refusal.cause == "cannot import `alpha`: ImportError: nothing works"


def test_a_post_link_script_is_refused_unless_accepted_unrun(host: Host) -> None:
    assert "has a post-link script" in refused(host, host.spec("linked")).summary
    converge(host, host.spec("linked", post_link_ignore=["linked"]))


def test_a_wheel_with_another_hash_is_refused(host: Host) -> None:
    group = [
        {
            "index": "https://pypi.example.org/simple",
            "packages": [{**host.locked("gamma==3.1"), "hashes": ["sha256:" + "0" * 64]}],
        }
    ]
    spec = host.spec("one", pip=("gamma==3.1",), pip_blob=host.blob(json.dumps(group).encode(), "pip"))
    refusal = refused(host, spec)
    assert refusal.summary == "cannot install the pip packages of `env`"
    assert "ash mismatch" in refusal.cause


def test_a_conda_package_with_another_hash_is_refused(host: Host, parts: Path) -> None:
    text = (parts / "one.lock").read_text()
    alpha = next(p for p in json.loads((parts / "one.json").read_text()) if p["name"] == "alpha")
    blob = host.blob(text.replace(alpha["sha256"], "0" * 64).encode(), "conda")
    refusal = refused(host, host.spec("one", conda_blob=blob))
    assert refusal.summary == "cannot install the conda packages of `env`"
    assert "alpha" in refusal.cause


def test_a_channel_that_is_away_is_refused(host: Host) -> None:
    refusal = refused(host, host.spec("one", channel_mirrors={"https://conda.example.org/lab": "http://127.0.0.1:9"}))
    assert refusal.summary == "cannot install the conda packages of `env`"
    assert "127.0.0.1:9" in refusal.cause


def test_pip_packages_that_miss_something_are_refused(host: Host) -> None:
    refusal = refused(host, host.spec("one", pip=("delta==1.5",), provided=["alpha"]))
    assert refusal.summary == "the pip packages of `env` do not go with its conda packages"
    assert "gamma" in refusal.cause and "alpha" not in refusal.cause


def test_a_full_disk_is_refused_before_anything(host: Host) -> None:
    spec = host.spec("one")
    listing = [
        {**package, "size": 1 << 50} for package in json.loads(Path(host.blobs[str(spec.listing_blob)]).read_bytes())
    ]
    spec = host.spec("one", listing_blob=host.blob(json.dumps(listing).encode(), "listing"))
    assert refused(host, spec).summary == "not enough disk for environment `env`"


def test_a_path_too_long_for_scripts_is_refused(host: Host) -> None:
    refusal = refused(host, host.spec("one", root=host.root + "/deep" * 20))
    assert refusal.summary == "the path of environment `env` is too long"


def test_a_driver_below_the_floor_is_refused_in_a_plan(host: Host) -> None:
    spec = host.spec("one", floor={"driver": "450.80.02", "cuda": "11.8", "glibc": "2.17"})
    system = host.system(check=True, facts={"glibc": "2.36", "gpu": {"driver": "440.33"}})
    with pytest.raises(Refusal, match=r"needs driver 450\.80\.02 or newer, this host has 440\.33"):
        conda_env.decide(spec, conda_env.observe(spec, system))


def test_a_lock_that_a_rollback_left_needs_forward(host: Host) -> None:
    spec = host.spec("one")
    Path(generations.store(host.root, "env")).mkdir(parents=True)
    generations.hold(host.system(), host.root, "env", spec.lock)
    with pytest.raises(Refusal, match="was rolled back from this lock"):
        converge(host, spec)
    converge(host, host.spec("one", forward=True))


def real_directory(host: Host, lock: str) -> Path:
    """What conda would have made: a real directory with a lock's packages."""
    path = Path(install(host, host.spec(lock)))
    link = Path(host.root, "envs/env")
    link.unlink()
    shutil.rmtree(path / ".provision")
    path.rename(link)
    return link


def test_a_directory_with_the_locks_packages_is_accepted(host: Host) -> None:
    link = real_directory(host, "one")
    spec = host.spec("one")
    state = conda_env.observe(spec, host.system())
    assert conda_env.decide(spec, state) == []
    assert conda_env.fields(spec, state)["accepted"] == "not a generation"
    assert conda_env.fields(spec, state)["generation"] == str(link)
    converge(host, conda_flip.Spec(name="env", lock=spec.lock, root=host.root), conda_flip)


def test_a_directory_with_other_packages_is_refused_or_taken_over(host: Host) -> None:
    link = real_directory(host, "one")
    with pytest.raises(Refusal) as caught:
        converge(host, host.spec("two"))
    assert "takeover: true" in caught.value.hint and "another name" in caught.value.hint
    assert "alpha 2.0" in caught.value.cause
    spec = host.spec("two", takeover=True)
    converge(host, spec)
    assert link.is_dir() and not link.is_symlink()
    converge(host, conda_flip.Spec(name="env", lock=spec.lock, root=host.root, takeover=True), conda_flip)
    assert link.is_symlink() and Path(host.root, "envs/env.before/bin/python").exists()


def test_absent_removes_link_and_generations_and_nothing_else(host: Host) -> None:
    install(host, host.spec("one"))
    install(host, host.spec("one", name="other"))
    converge(host, conda_env.Spec(name="env", root=host.root, state="absent"))
    assert sorted(path.name for path in Path(host.root, "envs").iterdir()) == [".generations", "other"]
    assert [path.name for path in Path(host.root, "envs/.generations").iterdir()] == ["other"]


@pytest.mark.parametrize("name", ["models/mine.bin", "lib/notes.txt", "var/lib/db/rows", "tmp/../mine"])
def test_absent_is_refused_over_what_people_put_there(host: Host, name: str) -> None:
    path = install(host, host.spec("one"))
    mine = Path(path, name)
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("years of work")
    with pytest.raises(Refusal, match="holds what no package brought") as caught:
        converge(host, conda_env.Spec(name="env", root=host.root, state="absent"))
    assert f"{path}/{os.path.normpath(name).partition('/')[0]}" in caught.value.cause
    assert mine.exists() and Path(host.root, "envs/env").is_symlink()


def test_absent_leaves_what_people_put_beside_the_generations(host: Host) -> None:
    install(host, host.spec("one"))
    for name in ("notes.txt", "mybackupdirs-2/rows"):
        mine = Path(host.root, "envs/.generations/env", name)
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("years of work")
    install(host, host.spec("two"))
    converge(host, conda_env.Spec(name="env", root=host.root, state="absent"))
    left = sorted(path.name for path in Path(host.root, "envs/.generations/env").iterdir())
    assert left == ["mybackupdirs-2", "notes.txt"]


def test_absent_is_refused_while_something_runs_in_it(host: Host) -> None:
    path = install(host, host.spec("one"))
    with subprocess.Popen([f"{path}/bin/python", "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            with pytest.raises(Refusal, match="is in use"):
                converge(host, conda_env.Spec(name="env", root=host.root, state="absent"))
        finally:
            process.kill()


def test_absent_leaves_a_real_directory(host: Host) -> None:
    Path(host.root, "envs/env/data").mkdir(parents=True)
    with pytest.raises(Refusal, match="is not ours to remove"):
        converge(host, conda_env.Spec(name="env", root=host.root, state="absent"))


def test_a_converged_look_starts_nothing_and_needs_no_content(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = host.spec("one")
    install(host, spec)
    system = host.system(blob=lambda sha: pytest.fail("content was asked for"))
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process was started"))
    assert conda_env.decide(spec, conda_env.observe(spec, system)) == []


def test_variables_of_the_step_do_not_reach_the_build(host: Host, tmp_path: Path) -> None:
    (tmp_path / "alpha.py").write_text("raise SystemExit('imported from PYTHONPATH')")
    environment = {"PYTHONPATH": str(tmp_path), "UV_INDEX_URL": "http://127.0.0.1:9", "UV_OFFLINE": "1"}
    converge(host, host.spec("one", pip=("gamma==3.1",)), environment=environment)


def test_a_kill_at_any_instant_leaves_the_old_environment_whole(host: Host) -> None:
    """A process that builds and flips the next lock is killed ever later; what serves is whole each time."""
    old, locks = install(host, host.spec("one")), {"one": host.spec("one"), "two": host.spec("two")}
    wholes = {old}
    for delay in (0.02, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9):
        pid = os.fork()
        if pid == 0:
            try:
                install(host, locks["two"])
            finally:
                os._exit(0)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        now = generations.current(host.system(), host.root, "env")
        assert now is not None and generations.seal_of(host.system(), now.path)["lock"] == now.lock
        wholes.add(now.path)
        assert output(f"{host.root}/envs/env/bin/alpha") in ("1", "2")
    final = install(host, locks["two"])
    assert output(f"{host.root}/envs/env/bin/alpha") == "2"
    assert wholes <= {old, final}
    assert generations.unsealed(host.system(), host.root, "env") == []
    assert conda_env.observe(locks["two"], host.system(depth="hashes")).drift == []


def test_three_large_environments_are_looked_at_in_under_fifty_milliseconds(tmp_path: Path) -> None:
    """3 times 120 packages of 8 folders; the seal's time is what a converged host pays."""
    host = Host(tmp_path, tmp_path, "")
    for name in ("a", "b", "c"):
        _made_by_hand(host, name)
    best = min(_seconds_to_look(host) for _ in range(5))
    assert best < 0.05


def _made_by_hand(host: Host, name: str) -> None:
    from provision.agent import seal

    lock = hashlib.sha256(name.encode()).hexdigest()
    path = generations.expected_path(host.root, name, lock)
    for package in range(120):
        for folder in range(8):
            place = Path(path, "lib", f"package{package}", f"folder{folder}")
            place.mkdir(parents=True)
            (place / "file").touch()
    host.system().mkdir(generations.notes_directory(path))
    seal.write(host.system(), path, {"lock": lock, "packages": 120})


def _seconds_to_look(host: Host) -> float:
    start = time.perf_counter()
    for name in ("a", "b", "c"):
        lock = hashlib.sha256(name.encode()).hexdigest()
        spec = conda_env.Spec(name=name, root=host.root, lock=lock, listing_blob="x", conda_blob="x", rattler_blob="x")
        assert conda_env.decide(spec, conda_env.observe(spec, host.system())) == []
    return time.perf_counter() - start
