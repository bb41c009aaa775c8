"""Compares what both tools say of one inventory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from differences import Found
from generated_inventories import Written
from oracle import Oracle
from ours_inventory import everything

OUT_OF_REACH = {"ansible_config_file"}
"""Names of Ansible's that are about Ansible itself."""


def compare(written: Written, oracle: Oracle, folder: Path) -> list[Found]:
    """Every difference between the two over one inventory, which is written into an empty folder."""
    written.write(folder)
    ours = everything(folder, written.inventory, written.playbook_directory, list(written.patterns))
    theirs = oracle.ask(
        "inventory",
        inventory=str(folder / written.inventory),
        playbook_directory=str(folder / written.playbook_directory),
        patterns=list(written.patterns),
    )
    return list(_differences(ours, theirs))


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Found]:
    context = {"hosts": theirs["hosts"], "groups": theirs["groups"], "deep": ours["deep"]}
    if list(ours["hosts"]) != list(theirs["hosts"]):
        yield Found("order", "all", list(ours["hosts"]), list(theirs["hosts"]), context)
    for kind, key in (("group", "groups"), ("pattern", "patterns")):
        yield from _each(kind, "", ours[key], theirs[key], context)
    for host in theirs["hosts"]:
        yield from _each("variable", f"{host} ", ours["hosts"].get(host, {}), theirs["hosts"][host], context)


def _each(kind: str, of: str, ours: dict[str, Any], theirs: dict[str, Any], context: Any) -> Iterator[Found]:
    for name in sorted({*ours, *theirs} - OUT_OF_REACH):
        pair = ours.get(name, "<none>"), theirs.get(name, "<none>")
        if _text(pair[0]) != _text(pair[1]):
            yield Found(kind, of + name, *pair, context)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
