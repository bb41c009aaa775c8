"""The registry of resources: one line each. A resource is imported when a step first needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict

__all__ = ["REGISTRY", "load"]

REGISTRY: Dict[str, str] = {
    "app": "app",
    "app_control": "app_control",
    "app_logs": "app_logs",
    "app_settled": "app_settled",
    "app_status": "app_status",
    "apt_repository": "apt_repository",
    "authorized_key": "authorized_key",
    "blockinfile": "blockinfile",
    "command": "command",
    "conda_base": "conda_base",
    "conda_env": "conda_env",
    "conda_flip": "conda_flip",
    "conda_list": "conda_list",
    "conda_rollback": "conda_rollback",
    "cron": "cron",
    "deb822_repository": "deb822_repository",
    "dpkg_selections": "dpkg_selections",
    "file": "file",
    "file_tree": "file_tree",
    "get_url": "get_url",
    "git": "git",
    "gpu": "gpu",
    "group": "group",
    "hostname": "hostname",
    "known_hosts": "known_hosts",
    "lineinfile": "lineinfile",
    "link": "link",
    "modprobe": "modprobe",
    "mount": "mount",
    "mounted": "mounted",
    "offboard": "offboard",
    "package": "package",
    "prune": "prune",
    "reboot": "reboot",
    "replace": "replace",
    "service": "service",
    "shell": "shell",
    "stat": "stat",
    "survey": "survey",
    "sysctl": "sysctl",
    "unarchive": "unarchive",
    "uri": "uri",
    "user": "user",
    "verify_app": "verify_app",
    "verify_compute": "verify_compute",
    "verify_driver": "verify_driver",
    "verify_environment": "verify_environment",
    "verify_imports": "verify_imports",
    "verify_made": "verify_made",
    "verify_shared_data": "verify_shared_data",
    "verify_system": "verify_system",
    "verify_traces": "verify_traces",
    "wait_for": "wait_for",
}
"""Name in YAML to the module here that holds it."""


def load(name: str) -> Any:
    """The module of a resource; KeyError for a name that is not registered."""
    return import_module("." + REGISTRY[name], __name__)
