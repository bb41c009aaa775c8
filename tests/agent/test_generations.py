"""Which generation serves, which one a lock has, what one remembers, and where a rollback goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.agent import flipping, generations, pruning, seal, trees
from provision.agent.resource import Refusal
from provision.agent.resources import conda_flip, conda_rollback
from provision.agent.system import System

A, B, C = "a" * 64, "b" * 64, "c" * 64


class Store:
    """The generations of one environment, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)
        self.system = System(blob=str)

    def sealed(self, lock: str, number: int = 1) -> generations.Generation:
        path = self.unsealed(lock, number)
        generations.write_note(self.system, path, "seal.json", {"lock": lock, "packages": 3})
        return generations.Generation(path, lock, number)

    def unsealed(self, lock: str, number: int = 1) -> str:
        path = f"{generations.store(self.root, 'env')}/{lock[:12]}-{number}"
        self.system.mkdir(generations.notes_directory(path))
        return path

    def flip(self, generation: generations.Generation) -> None:
        flipping.flip(self.system, self.root, "env", generation)

    def names(self) -> list[str]:
        return sorted(path.name for path in Path(generations.store(self.root, "env")).iterdir() if "-" in path.name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.system.mkdir(generations.store(made.root, "env"))
    return made


def run(module: object, spec: object, system: System) -> list[str]:
    """Observe, decide, apply, and hold that nothing is left to do; the verbs and what was shown."""
    done = []
    for action in module.decide(spec, module.observe(spec, system)):  # type: ignore[attr-defined]
        module.apply(action, system, lambda **what: None)  # type: ignore[attr-defined]
        done.append(f"{action.verb.word} {action.before} {action.after}")
    assert module.decide(spec, module.observe(spec, system)) == []  # type: ignore[attr-defined]
    return done


def test_nothing_serves_at_first(store: Store) -> None:
    assert generations.current(store.system, store.root, "env") is None
    assert generations.find(store.system, store.root, "env", A) is None
    assert generations.expected_path(store.root, "env", A).endswith("/.generations/env/aaaaaaaaaaaa-1")


def test_the_newest_sealed_build_of_a_lock_is_found(store: Store) -> None:
    store.sealed(A, 1)
    newest = store.sealed(A, 10)
    store.unsealed(A, 11)
    assert generations.find(store.system, store.root, "env", A) == newest
    assert generations.expected_path(store.root, "env", A).endswith("-12")


def test_twelve_equal_digits_are_not_the_same_lock(store: Store) -> None:
    store.sealed("a" * 12 + "b" * 52)
    assert generations.find(store.system, store.root, "env", A) is None


def test_a_flip_is_seen_and_relative(store: Store) -> None:
    made = store.sealed(A)
    store.flip(made)
    assert generations.current(store.system, store.root, "env") == made
    assert str(Path(generations.link_path(store.root, "env")).readlink()) == ".generations/env/aaaaaaaaaaaa-1"


def test_a_link_that_leads_elsewhere_is_no_generation(store: Store) -> None:
    Path(generations.link_path(store.root, "env")).symlink_to("/")
    assert generations.current(store.system, store.root, "env") is None


def test_a_real_directory_can_serve_an_app(store: Store) -> None:
    path = Path(generations.link_path(store.root, "env"))
    path.mkdir()
    found = generations.serving(store.system, store.root, "env", A)
    assert found == generations.Generation(str(path), A, 0)
    generations.remember_units(store.system, found, {"app": "text"})
    assert list(path.iterdir()) == []
    assert generations.variables(store.system, found)["CONDA_PREFIX"] == str(path)


def test_units_are_remembered_by_app(store: Store) -> None:
    made = store.sealed(A)
    generations.remember_units(store.system, made, {"one": "1", "two": "2"})
    generations.remember_units(store.system, made, {"two": "3"})
    assert generations.remembered_units(store.system, made) == {"one": "1", "two": "3"}


def test_a_flip_keeps_the_last_two_that_served(store: Store) -> None:
    for lock in (A, B, C):
        store.sealed(lock)
        spec = conda_flip.Spec(name="env", lock=lock, root=store.root)
        assert [line.split()[0] for line in run(conda_flip, spec, store.system)] == ["flip"]
    assert store.names() == ["bbbbbbbbbbbb-1", "cccccccccccc-1"]


def test_of_a_repaired_lock_the_edited_build_goes_and_the_lock_before_stays(store: Store) -> None:
    for lock, number in ((A, 1), (B, 1), (B, 2)):
        store.sealed(lock, number)
        run(conda_flip, conda_flip.Spec(name="env", lock=lock, root=store.root), store.system)
    assert store.names() == ["aaaaaaaaaaaa-1", "bbbbbbbbbbbb-2"]


def test_what_a_process_stands_in_is_never_pruned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    used = store.sealed(A)
    store.flip(used)
    monkeypatch.chdir(used.path)
    for lock in (B, C):
        store.sealed(lock)
        run(conda_flip, conda_flip.Spec(name="env", lock=lock, root=store.root), store.system)
    assert "aaaaaaaaaaaa-1" in store.names()


def test_what_a_unit_names_is_never_pruned(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = store.sealed(A)
    store.flip(used)
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "app.service").write_text(f"ExecStart={used.path}/bin/python -m app\n")
    monkeypatch.setattr("provision.agent.systemd.UNIT_DIRECTORY", str(tmp_path / "units"))
    assert pruning.users([used.path, used.path + "0"]) == {used.path}


def test_only_generations_are_ever_discarded(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "data"
    other.mkdir()
    with pytest.raises(ValueError, match="no generation"):
        pruning.discard(store.system, store.root, "env", str(other))
    assert other.exists()


def test_leftovers_are_what_has_no_seal(store: Store) -> None:
    store.sealed(A)
    store.unsealed(A, 2)
    pruning.leftovers(store.system, store.root, "env")
    assert store.names() == ["aaaaaaaaaaaa-1"]


def test_a_flip_never_replaces_a_directory(store: Store) -> None:
    store.sealed(A)
    link = Path(generations.link_path(store.root, "env"))
    (link / "data").mkdir(parents=True)
    with pytest.raises(Refusal, match="cannot set the link"):
        run(conda_flip, conda_flip.Spec(name="env", lock=A, root=store.root), store.system)
    assert (link / "data").exists()


def test_a_takeover_exchanges_and_keeps_the_directory(store: Store) -> None:
    made = store.sealed(A)
    link = Path(generations.link_path(store.root, "env"))
    (link / "data").mkdir(parents=True)
    run(conda_flip, conda_flip.Spec(name="env", lock=A, root=store.root, takeover=True), store.system)
    assert generations.current(store.system, store.root, "env") == made
    assert (link.parent / "env.before" / "data").is_dir()


def test_a_flip_to_nothing_is_refused_but_a_plan_foresees_it(store: Store) -> None:
    spec = conda_flip.Spec(name="env", lock=A, root=store.root)
    with pytest.raises(Refusal, match="no generation of lock aaaaaaaaaaaa"):
        conda_flip.decide(spec, conda_flip.observe(spec, store.system))
    plan = System(blob=str, check=True, pending={generations.link_path(store.root, "env")})
    (action,) = conda_flip.decide(spec, conda_flip.observe(spec, plan))
    assert (action.verb.word, action.before, action.after) == ("flip", None, "aaaaaaaaaaaa-1")


def test_a_rollback_goes_back_holds_what_it_left_and_ends_there(store: Store) -> None:
    for lock in (A, B):
        store.sealed(lock)
        store.flip(store.sealed(lock))
    spec = conda_rollback.Spec(name="env", root=store.root)
    assert run(conda_rollback, spec, store.system) == ["flip bbbbbbbbbbbb-1 aaaaaaaaaaaa-1"]
    assert generations.held(store.system, store.root, "env") == [B]
    again = System(blob=str)
    with pytest.raises(Refusal, match="no generation to go back to"):
        conda_rollback.decide(spec, conda_rollback.observe(spec, again))


def test_a_rollback_from_a_third_skips_the_one_that_was_left(store: Store) -> None:
    made = {lock: store.sealed(lock) for lock in (A, B, C)}
    store.flip(made[A])
    store.flip(made[B])
    run(conda_rollback, conda_rollback.Spec(name="env", root=store.root), System(blob=str))
    store.flip(made[C])
    assert generations.previous(store.system, store.root, "env") == made[A]


def test_going_forward_releases_the_hold(store: Store) -> None:
    for lock in (A, B):
        store.flip(store.sealed(lock))
    run(conda_rollback, conda_rollback.Spec(name="env", root=store.root), System(blob=str))
    run(conda_flip, conda_flip.Spec(name="env", lock=B, root=store.root), store.system)
    assert generations.held(store.system, store.root, "env") == []


def test_two_cannot_change_one_environment(store: Store) -> None:
    with (
        generations.lock_environment(store.system, store.root, "env"),
        pytest.raises(Refusal, match="being changed by somebody else"),
        generations.lock_environment(store.system, store.root, "env"),
    ):
        pass
    with generations.lock_environment(store.system, store.root, "env"):
        pass


def test_a_generation_that_people_put_something_into_is_kept_and_told(store: Store) -> None:
    for lock in (A, B, C):
        path = store.unsealed(lock)
        Path(path, "lib").mkdir()
        seal.write(store.system, path, {"lock": lock})
        if lock == A:
            Path(path, "lib/model.bin").write_text("years of work")
        store.flip(generations.Generation(path, lock, 1))
    told: list[str] = []
    assert pruning.prune(store.system, store.root, "env", 1, told.append) == [
        f"{generations.store(store.root, 'env')}/{B[:12]}-1"
    ]
    assert store.names() == [f"{A[:12]}-1", f"{C[:12]}-1"]
    assert "lib/model.bin" in told[0]


def test_a_generation_with_a_mount_in_it_keeps_its_seal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store.sealed(A)

    def mounted(path: str) -> None:
        raise Refusal("cannot remove", "another file system is mounted", "")

    monkeypatch.setattr(trees, "need_removable", mounted)
    with pytest.raises(Refusal, match="cannot remove"):
        pruning.discard(store.system, store.root, "env", one.path)
    assert generations.seal_of(store.system, one.path)


@pytest.mark.parametrize("name", ["mybackupdirs-2", "aaaaaaaaaaaa-x", "aaaaaaaaaaa-1", "AAAAAAAAAAAA-1"])
def test_a_folder_that_people_made_is_no_generation(store: Store, name: str) -> None:
    Path(generations.store(store.root, "env"), name).mkdir()
    assert generations.unsealed(store.system, store.root, "env") == []
