"""The registry of resources: one line each. A resource is imported when a step first needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict

__all__ = ["REGISTRY", "load"]

REGISTRY: Dict[str, str] = {
    "app": "app",
    "command": "command",
    "conda_base": "conda_base",
    "conda_env": "conda_env",
    "conda_flip": "conda_flip",
    "conda_rollback": "conda_rollback",
    "file": "file",
    "git": "git",
    "gpu": "gpu",
    "group": "group",
    "link": "link",
    "package": "package",
    "service": "service",
    "shell": "shell",
    "stat": "stat",
    "user": "user",
}
"""Name in YAML to the module here that holds it."""


def load(name: str) -> Any:
    """The module of a resource; KeyError for a name that is not registered."""
    return import_module("." + REGISTRY[name], __name__)
