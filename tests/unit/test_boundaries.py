"""Who may import what, how much travels to a host, and what loads there."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import provision
from provision.transport.archive import archive, bootstrap, command

ROOT = Path(provision.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "stubs" not in path.parts[-2])
AGENT = [path for path in MODULES if path.is_relative_to(ROOT / "agent")]
CONTROL = [path for path in MODULES if path not in AGENT]

ONLY_IMPORTERS = {
    "cryptography": ("secret/", "transport/"),
    "fabric": ("transport/",),
    "invoke": ("transport/",),
    "paramiko": ("transport/",),
    "rich": ("report/",),
    "ruamel": ("onboarding/",),
    "rattler": ("conda/", "lab/", "agent/"),
    "jinja2": (
        *("render", "source", "variables", "filters", "lookups", "sandbox", "template_errors", "template_names"),
        *("preflight", "secret/watch", "report/page", "compiled_templates"),
    ),
    "prometheus_client": ("verify/metrics",),
    "sqlite3": ("history",),
    "yaml": ("source", "filters", "conda/", "lab/"),
}
"""Package to the beginnings of the paths that may import it."""

ARCHIVE_BUDGET = 224 * 1024
BOOTSTRAP_BUDGET = 6 * 1024

ALLOWED_AT_START = {
    *("abc", "atexit", "builtins", "codecs", "collections", "contextlib", "copy", "copyreg", "dataclasses"),
    *("encodings", "enum", "errno", "fcntl", "functools", "gc", "genericpath", "hashlib", "importlib", "io"),
    *("itertools", "json", "keyword", "marshal", "math", "operator", "os", "posix", "posixpath", "pwd", "re"),
    *("reprlib", "select", "signal", "sre_compile", "sre_constants", "sre_parse", "stat", "struct", "sys"),
    *("time", "types", "typing", "warnings", "weakref", "zipimport"),
}
"""Modules of the standard library that the agent may load before its first step; others cost milliseconds a host."""


@cache
def imports(path: Path) -> tuple[tuple[str, ast.stmt], ...]:
    return tuple(found(path))


def found(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Absolute imports anywhere in a module, with the first that is only made at run time left in too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module, node


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", AGENT, ids=relative)
def test_the_agent_imports_the_standard_library_and_itself(path: Path) -> None:
    # rattler's wheel is sent to the host; provision_agent is the agent's own name there
    known = {*sys.stdlib_module_names, "rattler", "provision_agent"}
    foreign = [name for name, _ in imports(path) if name.partition(".")[0] not in known]
    assert foreign == []


@pytest.mark.parametrize("package", ONLY_IMPORTERS)
def test_heavy_packages_have_their_only_importers(package: str) -> None:
    users = [relative(path) for path in MODULES for name, _ in imports(path) if name.partition(".")[0] == package]
    assert [user for user in users if not user.startswith(ONLY_IMPORTERS[package])] == []


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("session.py", ("provision.runner", "provision.report", "provision.cli")),
        ("runner.py", ("provision.report", "provision.cli", "rich")),
        ("inventory.py", ("provision.transport", "provision.render", "provision.playbook")),
        ("playbook.py", ("provision.transport", "provision.render", "provision.inventory", "jinja2")),
        ("compile.py", ("provision.transport", "provision.session", "provision.runner", "provision.report")),
        ("render.py", ("provision.transport", "provision.inventory", "provision.playbook")),
        ("errors.py", ("provision",)),
        ("events.py", ("provision.transport", "provision.report", "provision.session")),
        ("transport/link.py", ("provision.session", "provision.runner", "provision.report", "provision.playbook")),
        ("transport/local.py", ("fabric", "paramiko", "provision.session")),
    ],
)
def test_modules_do_not_look_upwards(module: str, forbidden: tuple[str, ...]) -> None:
    path = ROOT / module
    found = [name for name, _ in imports(path) for upper in forbidden if f"{name}.".startswith(f"{upper}.")]
    assert found == []


def test_only_transport_knows_the_wire() -> None:
    wire = ("provision.transport.launch", "provision.transport.link", "provision.transport.archive")
    users = [relative(path) for path in CONTROL for name, _ in imports(path) if name.startswith(wire)]
    allowed = ("transport/", "session", "execute")
    assert [user for user in users if not user.startswith(allowed)] == []


def test_what_travels_is_small() -> None:
    assert len(archive().packed) <= ARCHIVE_BUDGET
    assert len(bootstrap()) <= BOOTSTRAP_BUDGET


def test_equal_sources_give_equal_archives() -> None:
    first = archive()
    archive.cache_clear()
    assert archive() == first
    assert "provision_agent.__main__" in json.loads(first.data)
    assert not [name for name in json.loads(first.data) if "bootstrap" in name]


def test_the_command_keeps_its_arguments_whole() -> None:
    words = shlex.split(command("the marker", "/opt/my python/bin/python3", "/a 'state'"))
    assert words[:4] == ["exec", "/opt/my python/bin/python3", "-IS", "-c"]
    assert words[5:] == ["the marker", archive().sha256, "/a 'state'"]


@pytest.mark.parametrize("version", [(3, 4), (3, 8)])
def test_any_python_3_reads_the_bootstrap(version: tuple[int, int]) -> None:
    ast.parse(bootstrap(), feature_version=version)


def test_the_agent_loads_little() -> None:
    program = (
        "import sys, types, json\n"
        "sys.argv = ['', '']\n"
        f"table = json.load(open({str(_table())!r}))\n"
        "class Modules:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        package = any(other.startswith(name + '.') for other in table)\n"
        "        return type(sys.__spec__)(name, self, is_package=package) if name in table else None\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): exec(table[module.__name__], module.__dict__)\n"
        "sys.meta_path.insert(0, Modules())\n"
        "import provision_agent.__main__, provision_agent.worker\n"
        "from provision_agent.resources import load\n"
        "before = sorted(sys.modules)\n"
        "for name in ('file', 'link', 'app', 'service', 'conda_env'): load(name)\n"
        "print(json.dumps([before, 'ast' in sys.modules]))\n"
    )
    said = subprocess.run(["/usr/bin/python3", "-IS", "-c", program], capture_output=True, check=True)
    before, inspected = json.loads(said.stdout)
    own = [name for name in before if name.startswith("provision_agent")]
    standard = {name.partition(".")[0] for name in before if not name.startswith(("provision_agent", "_"))}
    assert standard - ALLOWED_AT_START - {"inspect"} == set()
    assert not inspected, "a dataclass without a docstring makes `dataclasses` import `inspect`"
    assert not [name for name in own if name.startswith("provision_agent.resources.")]


def _table() -> Path:
    import atexit
    import tempfile

    file = tempfile.NamedTemporaryFile(suffix=".json", delete=False)  # noqa: SIM115
    file.write(archive().data)
    file.close()
    atexit.register(Path(file.name).unlink)
    return Path(file.name)
