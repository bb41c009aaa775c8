"""A host's entry for a new inventory: what the old one says of it, without secrets, and its line of known_hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from provision.adoption.document import plain
from provision.adoption.survey import Left
from provision.agent.survey.secret import named
from provision.conda.mirrors import clean
from provision.inventory import Inventory
from provision.listing import variables
from provision.onboarding.known_keys import without_host

__all__ = ["entry", "known_keys"]

_KEPT = ("channel_mirrors", "index_mirrors", "system_floor", "conda_root", "ca_file", "http_proxy", "https_proxy")
_ALSO = ("no_proxy",)
_FILES = ("ansible_ssh_private_key_file", "ca_file")


def entry(inventory: Inventory, host: str) -> tuple[dict[str, Any], list[Left]]:
    """The variables by which a host is reached and packages are found, and those that were not copied."""
    kept: dict[str, Any] = {}
    left = []
    for name, value in variables(inventory, host).items():
        if not (name.startswith("ansible_") or name in _KEPT or name in _ALSO):
            continue
        if _secret(name, value):
            mend = "put it into the new host_vars by hand, best encrypted"
            left.append(Left(f"variable `{name}` of the inventory", "it holds a secret", mend))
        else:
            kept[name] = _found(inventory, value) if name in _FILES else _plain(value)
    return kept, left


def known_keys(inventory: Inventory, host: str) -> str:
    """The lines of the known_hosts beside the inventory that are about this host."""
    own = inventory.variables(host)
    address, port = str(own.get("ansible_host", host)), str(own.get("ansible_port", 22))
    names = [host, address] if port == "22" else [f"[{host}]:{port}", f"[{address}]:{port}"]
    texts = [folder / "known_hosts" for folder in inventory.directories]
    return "".join(line for path in texts if path.is_file() for line in _lines(path, names))


def _lines(path: Path, names: list[str]) -> Iterator[str]:
    for line in path.read_text("utf-8", errors="replace").splitlines(keepends=True):
        if without_host(line, names) != line or line.startswith("@cert-authority"):
            yield line


def _secret(name: str, value: Any) -> bool:
    words = {"ansible_ssh_private_key_file"}
    return (named(name) and name not in words) or _credentials(value)


def _credentials(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_credentials(each) for each in value.values())
    return isinstance(value, str) and clean(value) != value


def _found(inventory: Inventory, value: Any) -> Any:
    """A relative path as it is found from the inventory or from here, whole."""
    path = Path(str(value)).expanduser()
    places = [Path(), *inventory.directories]
    return next((str((place / path).absolute()) for place in places if (place / path).exists()), str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return plain(value) if isinstance(value, str) else value
