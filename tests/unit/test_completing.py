"""What shells are told at TAB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from provision import completing
from provision.cli import app
from provision.starter.init import init

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    init(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("provision apply p", ["playbooks/site.yaml"]),
        ("provision apply playbooks/site.yaml -l gpu", ["gpu", "gpu-01", "gpu-02"]),
        ("provision apply playbooks/site.yaml -l gpu-01:!gpu-0", ["gpu-01:!gpu-01", "gpu-01:!gpu-02"]),
        ("provision apply playbooks/site.yaml -l gpu-01 : gpu-0", ["gpu-01", "gpu-02"]),
        ("provision apply playbooks/site.yaml --limit = gpu-0", ["gpu-01", "gpu-02"]),
        ("provision apply playbooks/site.yaml -t h", ["hello"]),
        ("provision facts gpu-02", ["gpu-02"]),
        ("provision rollback hello", ["hello-torch20-cu118"]),
        ("provision apply -i nowhere.yaml -l g", None),
        ("provision apply playbooks/site.yaml x", None),
        ("provision ap", None),
        ("provision", None),
    ],
)
def test_names_of_the_project(
    project: Path, capsys: pytest.CaptureFixture[str], line: str, told: list[str] | None
) -> None:
    capsys.readouterr()
    assert completing.complete(*line.split(" ")) == (1 if told is None else 0)
    assert capsys.readouterr().out.splitlines() == (told or [])


def bash(project: Path, words: list[str]) -> list[str]:
    """What bash itself offers for a command line."""
    script = completing.script("bash", app.generate_completion(shell="bash"))
    program = f'provision() {{ "{sys.executable}" -m provision "$@"; }}\n'
    asked = " ".join(f"'{word}'" for word in words)
    line = f"COMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _provision_names; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{program}\n{line}"],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()


def test_bash_offers_hosts_and_still_knows_options(project: Path) -> None:
    assert bash(project, ["provision", "apply", "playbooks/site.yaml", "-l", "gpu-0"]) == ["gpu-01", "gpu-02"]
    assert "--limit" in bash(project, ["provision", "apply", "--li"])
    assert "rollback" in bash(project, ["provision", "roll"])
