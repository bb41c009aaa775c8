"""What `adopt` says: what was taken over, and each thing that was not with its mend. Names secrets, never shows one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provision.adoption.document import PLAYBOOK
from provision.adoption.survey import Adopted
from provision.printable import printable

__all__ = ["document", "text"]


def document(adopted: Adopted, directory: Path) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "host": adopted.host,
        "directory": str(directory),
        "simulated": adopted.simulated,
        "environments": [
            {"name": one.name, "path": one.path, "role": one.role, "packages": len(one.packages)}
            for one in adopted.environments
        ],
        "apps": [
            {
                "name": app.name,
                "pid": app.pid,
                "started_by": app.started_by,
                "environment": app.environment.name,
                "port": app.port,
                "gpus": list(app.gpus),
            }
            for app in adopted.apps
        ],
        "links": [{"path": link.path, "target": link.target} for link in adopted.links],
        "secrets": [
            {"app": app.name, "name": secret.name, "variable": secret.variable}
            for app in adopted.apps
            for secret in app.secrets
        ],
        "left": [{"what": left.what, "why": left.why, "mend": left.mend} for left in adopted.left],
        "aside": list(adopted.aside),
    }


def text(adopted: Adopted, directory: Path) -> str:
    """The report for people."""
    return "\n".join(_lines(adopted, directory)) + "\n"


def _lines(adopted: Adopted, directory: Path) -> Iterator[str]:
    yield f"{adopted.host}, as written to {directory}" + (" (simulated GPUs)" if adopted.simulated else "")
    for one in adopted.environments:
        yield f"  environment {one.name}: {len(one.packages)} packages, accepted at {one.path}"
    for app in adopted.apps:
        port = f", port {app.port}" if app.port else ""
        gpus = f", GPU {', '.join(app.gpus)}" if app.gpus else ""
        yield printable(f"  app {app.name}: pid {app.pid}, started by {app.started_by}{port}{gpus}")
        for secret in app.secrets:
            yield f"    secret {secret.name}: variable {secret.variable} in host_vars/{adopted.host}.yaml, not copied"
    for link in adopted.links:
        yield printable(f"  link {link.path} -> {link.target}")
    if adopted.left:
        yield f"not taken over: {len(adopted.left)}"
    for left in adopted.left:
        yield printable(f"  {left.what}")
        yield from (printable(f"    {line}") for line in left.why.splitlines())
        yield from (printable(f"    mend: {line}") for line in left.mend.splitlines())
    if adopted.aside:
        yield f"left aside, as the system's own: {', '.join(adopted.aside)}"
    yield f"next: cd {directory} && provision plan {PLAYBOOK}"
