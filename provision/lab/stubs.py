"""The Python files of stand-ins: modules that can be imported, say that they are simulated, and do nothing more.

Owns their text only. The stand-in of torch is code of its own, in `stubs_torch`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from packaging.utils import canonicalize_name

from provision.lab.packages import Entry

__all__ = ["Stub", "modules", "record", "wheel_entries"]


@dataclass(frozen=True)
class Stub:
    """A Python distribution that stands in for a real one; field for field the row of the data file."""

    name: str
    version: str
    modules: Sequence[str]
    requires: Sequence[str] = ()
    extras: Sequence[str] = ()
    python: str = ""
    scripts: Sequence[str] = ()
    classes: Sequence[str] = ()
    imports: Sequence[str] = ()
    tag: str = "py3-none-any"
    says: str = ""
    cuda: str = ""

    @property
    def information(self) -> str:
        """The name of its .dist-info folder."""
        return f"{canonicalize_name(self.name).replace('-', '_')}-{self.version}.dist-info"

    @property
    def file_name(self) -> str:
        return f"{self.information.removesuffix('.dist-info')}-{self.tag}.whl"


def wheel_entries(stub: Stub) -> list[Entry]:
    """All files of the stub's wheel but its RECORD, which the index writes."""
    files = dict(modules(stub))
    information = {"METADATA": _metadata(stub), "WHEEL": _wheel(stub)}
    if stub.scripts:
        information["entry_points.txt"] = "[console_scripts]\n" + "".join(f"{line}\n" for line in stub.scripts)
    files |= {f"{stub.information}/{name}": text for name, text in information.items()}
    return [Entry(path, text.encode()) for path, text in sorted(files.items())]


def modules(stub: Stub) -> dict[str, str]:
    """The stub's Python files, by path below site-packages."""
    files: dict[str, str] = {}
    for name in stub.modules:
        files |= (
            _torch(stub.says or stub.version, stub.cuda) if name == "torch" else {f"{name}/__init__.py": _module(stub)}
        )
    for line in stub.scripts:
        module, _, function = line.split("=", 1)[1].strip().partition(":")
        _with_program(files, stub, module.replace(".", "/"), function)
    return files


def _torch(version: str, cuda: str) -> dict[str, str]:
    folder = resources.files("provision.lab") / "stubs_torch"
    files = {f"torch/{path.name}": path.read_text() for path in folder.iterdir() if path.name.endswith(".py")}
    own = files["torch/version.py"].replace('"0.0.0"', repr(version)).replace("= None", f"= {cuda or None!r}")
    return files | {"torch/version.py": own}


def _module(stub: Stub) -> str:
    lines = [
        f'"""A stand-in of {stub.name} {stub.version}, made by provision\'s lab; it does nothing."""',
        "",
        *(f"import {other}  # noqa: F401" for other in stub.imports),
        "",
        "__provision_simulated__ = True",
        f"__version__ = {stub.version!r}",
    ]
    for title in stub.classes:
        lines += ["", "", f"class {title}:", "    def __init__(self, *args, **kwargs):", f"        {_raising(stub)}"]
        lines += ["", "    @classmethod", "    def from_pretrained(cls, *args, **kwargs):", "        return cls()"]
    return "\n".join(lines) + "\n"


def _raising(stub: Stub) -> str:
    return f'raise NotImplementedError("{stub.name} {stub.version} is a stand-in of provision\'s lab")'


def _with_program(files: dict[str, str], stub: Stub, module: str, function: str) -> None:
    package = f"{module}/__init__.py"
    path = package if package in files or "/" not in module else f"{module}.py"
    lines = ["", "", f"def {function}():", "    import sys", "", f"    {_printing(stub)}", "    return 0", ""]
    files[path] = files.get(path, f'"""Part of a stand-in of {stub.name}."""\n') + "\n".join(lines)
    for parent in list(Path(path).parents)[:-1]:
        files.setdefault(f"{parent.as_posix()}/__init__.py", f'"""Part of a stand-in of {stub.name}."""\n')


def _printing(stub: Stub) -> str:
    return f'print("{stub.name} {stub.version}: a stand-in of provision\'s lab", file=sys.stderr)'


def _metadata(stub: Stub) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {stub.name}",
        f"Version: {stub.version}",
        "Summary: A stand-in made by provision's lab; not for use outside it",
        "License: LicenseRef-provision-stand-in",
    ]
    if stub.python:
        lines.append(f"Requires-Python: {stub.python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in stub.requires]
    lines += [f"Provides-Extra: {extra}" for extra in stub.extras]
    return "\n".join(lines) + "\n\nA stand-in made by provision's lab.\n"


def _wheel(stub: Stub) -> str:
    python, abi, platforms = stub.tag.split("-")
    pure = "true" if (abi, platforms) == ("none", "any") else "false"
    tags = [f"Tag: {one}-{abi}-{platform}" for one in python.split(".") for platform in platforms.split(".")]
    return "\n".join(["Wheel-Version: 1.0", "Generator: provision-lab", f"Root-Is-Purelib: {pure}", *tags]) + "\n"


def record(entries: Iterable[Entry], information: str) -> str:
    """The text of a RECORD for these files."""
    lines = [f"{entry.path},sha256={_digest(entry.data)},{len(entry.data)}" for entry in entries]
    return "\n".join([*lines, f"{information}/RECORD,,"]) + "\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
