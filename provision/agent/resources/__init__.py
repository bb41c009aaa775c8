"""The registry of resources: one line each. A resource is imported when a step first needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict

__all__ = ["REGISTRY", "load"]

REGISTRY: Dict[str, str] = {
    "app": "app",
    "app_control": "app_control",
    "app_logs": "app_logs",
    "app_status": "app_status",
    "blockinfile": "blockinfile",
    "command": "command",
    "conda_base": "conda_base",
    "conda_env": "conda_env",
    "conda_flip": "conda_flip",
    "conda_list": "conda_list",
    "conda_rollback": "conda_rollback",
    "file": "file",
    "git": "git",
    "gpu": "gpu",
    "group": "group",
    "link": "link",
    "mounted": "mounted",
    "offboard": "offboard",
    "package": "package",
    "reboot": "reboot",
    "service": "service",
    "shell": "shell",
    "stat": "stat",
    "survey": "survey",
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
}
"""Name in YAML to the module here that holds it."""


def load(name: str) -> Any:
    """The module of a resource; KeyError for a name that is not registered."""
    return import_module("." + REGISTRY[name], __name__)
