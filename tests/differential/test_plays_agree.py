"""Plays, generated and kept, give the same results and the same files under ansible-core and here."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from compared_plays import compare
from differences import Found, unlisted
from generated_plays import plays
from hypothesis import HealthCheck, given, seed, settings
from oracle import Oracle
from pairs import Case, Pair

pytestmark = pytest.mark.lab

HERE = Path(__file__).parent
COUNT = int(os.environ.get("PROVISION_PLAYBOOKS", "6"))
SEED = int(os.environ.get("PROVISION_SEED", "20"))
WHOLE = "PROVISION_PLAYBOOKS" in os.environ
ALWAYS = ("blocks", "handlers", "includes", "precedence", "role-people", "role-web", "run-once")
"""The cases that every run of the tests has; each costs a second or two, all in ansible-core."""
KEPT = sorted(path.parent for path in (HERE / "cases" / "plays").glob("*/play.yaml"))
CASES = [folder for folder in KEPT if WHOLE or folder.name in ALWAYS]


def told(found: list[Found]) -> str:
    return "\n".join(map(str, found))


@seed(SEED)
@settings(max_examples=COUNT, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(case=plays())
def test_generated_plays_agree(case: Case, pair: Pair, oracle: Oracle) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = unlisted(compare(case, pair, oracle, Path(folder)))
    assert not found, told(found)


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_kept_play_agrees(folder: Path, pair: Pair, oracle: Oracle, tmp_path: Path) -> None:
    case, settings_of = kept(folder)
    found = unlisted(compare(case, pair, oracle, tmp_path, settings_of.get("runs", 1)))
    assert not found, told(found)


def kept(folder: Path) -> tuple[Case, dict[str, object]]:
    """A case as it is kept in a folder: files, and in case.yaml what differs from the defaults."""
    beside = folder / "case.yaml"
    said = yaml.safe_load(beside.read_text()) if beside.exists() else {}
    paths = [path for path in folder.rglob("*") if path.is_file() and path != beside]
    files = {str(path.relative_to(folder)): path.read_text() for path in paths}
    case = Case(
        files,
        hosts=tuple(said.get("hosts", ("n1", "n2"))),
        variables=said.get("variables", {}),
        groups=said.get("groups", {}),
        options=said.get("options", {}),
        watched=tuple(said.get("watched", ())),
        unwatched=tuple(said.get("unwatched", ())),
        before=said.get("before", ""),
    )
    return case, said
