"""Answers questions with ansible-core's own API: one JSON object a line in, one out. Run by the oracle's interpreter.

Owns asking the original; must not know what it is compared with, nor import anything of this project.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


def inventory_of(question: dict[str, Any]) -> dict[str, Any]:
    """Variables, groups and patterns of one inventory."""
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.playbook.play import Play
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    loader.set_basedir(question["playbook_directory"])
    inventory = InventoryManager(loader=loader, sources=[question["inventory"]])
    manager = VariableManager(loader=loader, inventory=inventory)
    answer: dict[str, Any] = {"hosts": {}, "patterns": {}, "groups": {}}
    play = Play.load(
        {"name": "p", "hosts": "all", "gather_facts": False, "tasks": []}, variable_manager=manager, loader=loader
    )
    for host in inventory.get_hosts("all", order="inventory"):
        variables = manager.get_vars(play=play, host=host)
        templar = Templar(loader=loader, variables=variables)
        own = manager.get_vars(host=host, include_hostvars=False)
        seen = {}
        for name in {*own, "group_names"} - UNASKED:
            try:
                seen[name] = plain(templar.template(variables[name]))
            except AnsibleError:
                seen[name] = "<error>"
        answer["hosts"][host.name] = seen
        answer["groups"] = plain(variables["groups"])
    for pattern in question["patterns"]:
        try:
            answer["patterns"][pattern] = [host.name for host in inventory.list_hosts(pattern)]
        except AnsibleError:
            answer["patterns"][pattern] = "<error>"
    return answer


UNASKED = {
    "ansible_playbook_python", "inventory_file", "inventory_dir", "groups", "omit", "ansible_version", "playbook_dir",
    "ansible_facts", "vars", "hostvars",
}  # fmt: skip


def plain(value: Any) -> Any:
    """A value without tags or laziness, as JSON holds it."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def play_of(question: dict[str, Any]) -> dict[str, Any]:
    """Runs playbooks one after another in this process; what each task came to is in `results` of each."""
    from oracle_play import run

    return {"runs": [run(one) for one in question["playbooks"]]}


ANSWERS = {"inventory": inventory_of, "plays": play_of}


def main() -> None:
    """Answer until there are no more questions; whatever the original prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([])
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = ANSWERS[question["kind"]](question)
        except Exception as error:
            answer = {"error": str(error), "trace": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
