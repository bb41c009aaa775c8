"""What was adopted as files: inventory, playbook, roles. Pure; texts by their path below the directory.

What came from a host is written as text that is never rendered; only what is ours holds templates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from provision.adoption.survey import Adopted, App, Environment, Link
from provision.conda.yaml_text import Unsafe, text_of

__all__ = ["PLAYBOOK", "files", "plain", "role_files"]

PLAYBOOK = "playbook.yaml"
_MARKS = ("{{", "{%", "{#")
_ROOT = "/opt/conda"


def files(adopted: Adopted, variables: Mapping[str, Any], known_hosts: str) -> dict[str, str]:
    """Every file but those of environments (`role_files`) and the report; `variables`: the host's in the inventory."""
    inventory = {"all": {"hosts": {adopted.host: dict(variables)}}}
    found = {
        "inventory.yaml": f"# {adopted.host}, as it was adopted.\n{text_of(inventory)}",
        PLAYBOOK: _playbook(adopted),
    }
    secrets = {secret.variable: "" for app in adopted.apps for secret in app.secrets}
    if secrets:
        head = "# Secrets of the apps: none was copied from the host. Each is needed once its app becomes a unit.\n"
        found[f"host_vars/{adopted.host}.yaml"] = head + text_of(secrets)
    if known_hosts:
        found["known_hosts"] = known_hosts
    return found


def role_files(environment: Environment) -> dict[str, str]:
    """A role that says one environment."""
    options = {"name": environment.name, "file": "environment.yml", "root": environment.root}
    if environment.root == _ROOT:
        del options["root"]
    folder = f"roles/{environment.role}"
    task = {"name": f"Environment {environment.name} is there", "conda_env": options}
    return {f"{folder}/environment.yml": environment.text, f"{folder}/tasks/main.yaml": _list([task])}


def plain(text: str) -> str:
    """Text of a host as a value that is never rendered."""
    return Unsafe(text) if any(mark in text for mark in _MARKS) else text


def _playbook(adopted: Adopted) -> str:
    play: dict[str, Any] = {"name": f"What was found on {adopted.host}", "hosts": adopted.host, "become": True}
    if adopted.environments:
        play["roles"] = [environment.role for environment in adopted.environments]
    shared, tasks = _links(adopted.links)
    if shared:
        play["shared_data"] = shared
    if adopted.apps:
        gpus = Counter(gpu for app in adopted.apps for gpu in app.gpus)
        play["apps"] = [_app(app, any(gpus[gpu] > 1 for gpu in app.gpus)) for app in adopted.apps]
    if tasks:
        play["tasks"] = tasks
    head = (
        "# `state: adopted`: a process that people started is left alone as long as it is what its app says.\n"
        "# Once it is stopped, the next apply starts the app as a service of its own.\n"
    )
    return (head if adopted.apps else "") + _list([play])


def _app(app: App, share: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": app.name,
        "state": "adopted",
        "environment": app.environment.name,
        "root": app.environment.root,
        "directory": plain(app.directory),
        "command": [plain(word) for word in app.command],
        "user": plain(app.user),
        "port": app.port,
        "gpus": list(app.gpus),
        "share_gpus": share,
        "variables": {name: plain(value) for name, value in app.variables.items()},
        "secrets": {secret.name: f"{{{{ {secret.variable} }}}}" for secret in app.secrets},
    }
    defaults: dict[str, Any] = {"root": _ROOT, "user": "root", "port": None, "gpus": [], "share_gpus": False}
    defaults |= {"variables": {}, "secrets": {}}
    return {key: value for key, value in entry.items() if key not in defaults or value != defaults[key]}


def _links(links: tuple[Link, ...]) -> tuple[list[Any], list[Any]]:
    """Links as `shared_data` by their root; as tasks where that has no words for them."""
    shared: dict[str, dict[str, str]] = {}
    tasks: list[Any] = []
    for link in links:
        if not link.target.startswith("/") or isinstance(plain(f"{link.path}\n{link.target}\n{link.root}"), Unsafe):
            options = {"path": plain(link.path), "target": plain(link.target)}
            tasks.append({"name": "Link into shared data", "link": options})
        else:
            shared.setdefault(link.root, {})[link.path] = link.target
    return [{"path": root, "links": found} for root, found in sorted(shared.items())], tasks


def _list(items: list[Any]) -> str:
    """A YAML list of mappings, each in its own order."""
    parts = []
    for item in items:
        lines = text_of(item).splitlines()
        parts.append("\n".join(f"{'- ' if number == 0 else '  '}{line}".rstrip() for number, line in enumerate(lines)))
    return "\n".join(parts) + "\n"
