"""The pip part as a PEP 751 file: text from packages, nothing else. Source: https://peps.python.org/pep-0751/"""

from __future__ import annotations

import json
from collections.abc import Iterable

from provision.conda.locked import PipPackage, Wheel

__all__ = ["write"]

HEADER = """\
# The pip part of an environment, locked by `provision lock`; installed beside the conda part, never alone.
# Each package comes from its `index`, or the mirror that the inventory names for it, and is judged by its hashes.
"""


def write(packages: Iterable[PipPackage], python: str | None, machine: str = "x86_64") -> str:
    """The file's text, the same for the same packages; `machine` is the architecture that it is for."""
    head = [f'{HEADER}lock-version = "1.0"', 'created-by = "provision"']
    head += [f"environments = [\"sys_platform == 'linux' and platform_machine == '{machine}'\"]"]
    if python:
        head.append(f'requires-python = "=={".".join(python.split(".")[:2])}.*"')
    listed = sorted(packages, key=lambda package: package.name)
    return "\n".join([*head, *(_package(package) for package in listed)] + ([] if listed else ["packages = []"])) + "\n"


def _package(package: PipPackage) -> str:
    wheels = "".join(f"    {_wheel(wheel)},\n" for wheel in package.wheels)
    return (
        f"\n[[packages]]\nname = {_text(package.name)}\nversion = {_text(package.version)}\n"
        f"index = {_text(package.index)}\nwheels = [\n{wheels}]"
    )


def _wheel(wheel: Wheel) -> str:
    size = f", size = {wheel.size}" if wheel.size else ""
    name = wheel.file_name
    return f"{{ name = {_text(name)}, url = {_text(wheel.url)}{size}, hashes = {{ sha256 = {_text(wheel.sha256)} }} }}"


def _text(value: str) -> str:
    """A TOML basic string; what JSON escapes, TOML reads the same."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
