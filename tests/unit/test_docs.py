"""The documents say what is so: examples load, command lines parse, links lead somewhere, the reference is fresh."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import source
from provision.cli import app
from provision.conda import lint
from provision.conda.environment import read
from provision.fleet_settings import settings
from provision.inventory import load_inventory
from provision.preflight import check
from provision.reference import FILE, reference
from provision.roles import load_playbook
from provision.scopes import Run

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def blocks(document: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks of some languages, with the line that each starts in."""
    text = document.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        if found[2] in languages:
            lines = (line.removeprefix(found[1]) for line in found[3].splitlines())
            yield text[: found.start()].count("\n") + 2, "\n".join(lines) + "\n"


def commands(document: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of each command line of the tool in a document's blocks."""
    for start, text in blocks(document, "", "console", "sh"):
        for number, line in enumerate(text.splitlines(), start):
            words = line.removeprefix("$ ")
            if words.startswith("provision "):
                yield number, shlex.split(re.sub(r"\$\([^)]*\)", "SUBSTITUTED", words), comments=True)[1:]


VAULT = dict.fromkeys(("proxy_password", "packages_password", "git_token"), "from a vault")
EXAMPLES = [(path, line, text) for path in DOCUMENTS for line, text in blocks(path, "yaml")]
COMMANDS = [(path, line, words) for path in DOCUMENTS for line, words in commands(path)]


def named(case: tuple[Path, int, object]) -> str:
    return f"{case[0].name}:{case[1]}"


def test_reference_is_fresh() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == reference(), "run `python -m provision.reference`"


@pytest.mark.parametrize("case", EXAMPLES, ids=named)
def test_example_loads(case: tuple[Path, int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "example.yaml"
    file.write_text(case[2], encoding="utf-8")
    content = source.load(file)
    if isinstance(content, source.Sequence):
        _check_playbook(file)
    elif isinstance(content, source.Mapping) and "dependencies" in content:
        assert not lint.lint(read(file))
    else:
        assert isinstance(content, source.Mapping)
        inventory = load_inventory([file])
        assert inventory.hosts
        (tmp_path / "certificates").mkdir()
        (tmp_path / "certificates/company.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        settings(inventory, list(inventory.hosts), VAULT)


def _check_playbook(file: Path) -> None:
    """All that is checked of a playbook before any connection, for one host of its plays' groups."""
    file.with_name("secrets.yaml").write_text("hf_token: hf_1\n", encoding="utf-8")
    plays = load_playbook(file, [ROOT / "roles"]).plays
    groups = {play.hosts: {"hosts": {"host-01": None}} for play in plays}
    inventory_file = file.with_name("inventory.json")
    inventory_file.write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    run = Run(load_inventory([inventory_file]))
    check(plays, run, dict.fromkeys(plays, ("host-01",)))


@pytest.mark.parametrize("case", COMMANDS, ids=named)
def test_command_parses(case: tuple[Path, int, list[str]]) -> None:
    command, bound, _ = app.parse_args(case[2], exit_on_error=False, print_error=False)
    assert callable(command), bound


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def anchors(document: Path) -> set[str]:
    """The names that headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
