"""Every case in `cases/RESOURCE/*.yaml`: arguments and a prepared host -> the actions that are expected.

`{root}` in a case is a folder of the test's own. Where a case prepares files only, its actions are done too, and a
second look must find nothing left to do. Keys that are not known are errors.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from provision.agent.resource import Action, Refusal
from provision.agent.resources import load
from provision.agent.system import System
from provision.kinds import conform

CASES = Path(__file__).parent / "cases"


class Node(BaseModel):
    """A file, a directory or a link."""

    model_config = ConfigDict(extra="forbid")
    file: str | None = None
    link: str | None = None
    mode: str | None = None


class Expected(BaseModel):
    """An action; what is left out is not compared."""

    model_config = ConfigDict(extra="forbid")
    verb: str
    target: str
    before: str | None = None
    after: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    must_finish: bool = False


class Error(BaseModel):
    """A Refusal, whole; or the text of a ValueError in `invalid`."""

    model_config = ConfigDict(extra="forbid")
    summary: str = ""
    cause: str = ""
    hint: str = ""
    invalid: str = ""


class Case(BaseModel):
    """`tree`: what is on the host. `state`: a State's fields, instead of looking at the host. `answers`: what was asked
    for a batch, by "KIND SUBJECT". `fields`: some of what is registered. `afterwards`: files after the actions, None
    for none."""

    model_config = ConfigDict(extra="forbid")
    about: str
    args: dict[str, Any]
    tree: dict[str, Node] = Field(default_factory=dict)
    state: dict[str, Any] | None = None
    answers: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    pending: list[str] = Field(default_factory=list)
    check: bool = False
    actions: list[Expected] = Field(default_factory=list)
    fields: dict[str, Any] = Field(default_factory=dict)
    error: Error | None = None
    afterwards: dict[str, Node | None] = Field(default_factory=dict)


def _cases() -> list[Any]:
    paths = sorted(CASES.glob("*/*.yaml"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in paths]


@pytest.mark.parametrize("path", _cases())
def test_case(path: Path, tmp_path: Path) -> None:
    case = Case(**_placed(yaml.safe_load(path.read_text()), str(tmp_path)))
    for place, node in case.tree.items():
        _make(Path(place), node)
    module = load(path.parent.name)
    system = System(blob=str, facts=case.facts, pending=set(case.pending), check=case.check)
    system.state_directory = str(tmp_path / "state")
    for question, answer in case.answers.items():
        kind, _, subject = question.partition(" ")
        system.answers[kind, subject] = answer
    try:
        actions = _run(case, module, system)
    except (Refusal, ValueError) as error:
        assert case.error is not None, getattr(error, "cause", "") or error
        assert _told(error) == case.error.model_dump(), path
        return
    assert case.error is None, actions
    assert [_shown(action, wanted) for action, wanted in _paired(actions, case.actions)] == [
        wanted.model_dump() for wanted in case.actions
    ]


def _spec(kind: Any, values: dict[str, Any]) -> Any:
    """A Spec of values in the types that it states, as the control node makes it."""
    kinds = get_type_hints(kind)
    return kind(**{name: conform(kinds.get(name, Any), value) for name, value in values.items()})


def _run(case: Case, module: Any, system: System) -> list[Action]:
    spec = _spec(module.Spec, case.args)
    state = module.State(**case.state) if case.state is not None else module.observe(spec, system)
    actions: list[Action] = module.decide(spec, state)
    fields = dict(module.fields(spec, state))
    if case.state is None and not case.answers and not case.check:
        told: dict[str, Any] = {}
        for action in actions:
            told.update(module.apply(action, system, lambda **_: None))
        again = module.observe(spec, system)
        assert [action for action in module.decide(spec, again) if not action.verb.act] == []
        fields = {**module.fields(spec, again), **told}
    assert {key: fields.get(key) for key in case.fields} == case.fields
    for place, node in case.afterwards.items():
        assert _there(Path(place)) == (node and node.model_dump(exclude_unset=True))
    return actions


def _placed(value: Any, root: str) -> Any:
    if isinstance(value, dict):
        return {_placed(key, root): _placed(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, root) for item in value]
    return value.replace("{root}", root) if isinstance(value, str) else value


def _make(path: Path, node: Node) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if node.link is not None:
        path.symlink_to(node.link)
        return
    if node.file is not None:
        path.write_text(node.file)
    else:
        path.mkdir(exist_ok=True)
    path.chmod(int(node.mode or ("0644" if node.file is not None else "0755"), 8))


def _there(path: Path) -> dict[str, Any] | None:
    if not os.path.lexists(path):
        return None
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return {"link": str(path.readlink())}
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return {"mode": mode} if path.is_dir() else {"file": path.read_text(), "mode": mode}


def _told(error: Refusal | ValueError) -> dict[str, str]:
    if isinstance(error, Refusal):
        return {"summary": error.summary, "cause": error.cause, "hint": error.hint, "invalid": ""}
    return {"summary": "", "cause": "", "hint": "", "invalid": str(error)}


def _paired(actions: list[Action], expected: list[Expected]) -> list[tuple[Action, Expected]]:
    assert [(action.verb.word, action.target) for action in actions] == [(one.verb, one.target) for one in expected]
    return list(zip(actions, expected, strict=True))


def _shown(action: Action, wanted: Expected) -> dict[str, Any]:
    return {
        "verb": action.verb.word,
        "target": action.target,
        "before": action.before if wanted.before is not None else None,
        "after": action.after if wanted.after is not None else None,
        "arguments": {key: action.arguments.get(key) for key in wanted.arguments},
        "must_finish": action.must_finish,
    }


def test_the_examples_of_specs_are_taken() -> None:
    """The docstring of each Spec shows an example that it takes."""
    for name in (
        "app",
        "apt_repository",
        "authorized_key",
        "blockinfile",
        "command",
        "conda_list",
        "cron",
        "deb822_repository",
        "dpkg_selections",
        "file",
        "get_url",
        "git",
        "gpu",
        "group",
        "hostname",
        "known_hosts",
        "lineinfile",
        "link",
        "modprobe",
        "mount",
        "mounted",
        "package",
        "reboot",
        "replace",
        "service",
        "shell",
        "stat",
        "sysctl",
        "unarchive",
        "uri",
        "user",
        "verify_app",
        "verify_driver",
        "verify_shared_data",
        "verify_system",
        "wait_for",
    ):
        spec = load(name).Spec
        lines = (spec.__doc__ or "").splitlines()
        start = next(at for at, line in enumerate(lines) if line.strip() == f"- {name}:")
        end = next((at for at in range(start + 1, len(lines)) if not lines[at].strip()), len(lines))
        text = "\n".join(line[4:] for line in lines[start:end] if not line.strip().startswith("register"))
        made = _spec(spec, yaml.safe_load(text)[0][name])
        assert json.dumps(made.__dict__)
