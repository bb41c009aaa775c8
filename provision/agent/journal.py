"""What must survive a crash: handlers that were notified and did not run yet; and who changed what, when.

A handler is in the file, durably, before the first action of the step that notifies it. Must not decide which.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, Iterable, List

from . import files
from .protocol import Result, Step

__all__ = ["Journal"]

_LIMIT = 4 << 20
"""Bytes of the list of changes; a fuller one becomes `changes.1`, which goes when that happens again."""
_ENTRY = ("name", "user", "cron_file", "env", "state")
"""What tells a line of a crontab from others."""


class Journal:
    """The journal in the folder of state; nothing is read or made before it is needed."""

    def __init__(self, state: str) -> None:
        self._folder = os.path.join(state, "journal")
        self._pending_path = os.path.join(self._folder, "handlers.json")
        self._pending: Dict[str, Any] = {}
        self._loaded = False

    def pending(self) -> List[str]:
        """Handlers that are still to be run, in the order in which they were notified."""
        self._load()
        return list(self._pending)

    def notify(self, handlers: Iterable[str], run: str) -> None:
        """Write handlers down before what notifies them is done."""
        self._load()
        missing = [handler for handler in handlers if handler not in self._pending]
        for handler in missing:
            self._pending[handler] = {"run": run, "time": _now()}
        if missing:
            self._store()

    def forget(self, handlers: Iterable[str]) -> None:
        """Take out handlers that ran, or whose task was judged unchanged."""
        self._load()
        known = [handler for handler in handlers if handler in self._pending]
        for handler in known:
            del self._pending[handler]
        if known:
            self._store()

    def changed(self, run: Dict[str, Any], step: Step, result: Result) -> None:
        """Add a line to the list of changes."""
        done = [{"verb": action["verb"], "target": action["target"]} for action in result.actions]
        line = {"time": _now(), **run, "step": step.name, "resource": step.resource, "actions": done}
        line["status"] = result.status
        if isinstance(step.spec.get("lock"), str):
            line["lock"] = step.spec["lock"]
        if isinstance(result.fields.get("sha256"), str):
            line["sha256"] = result.fields["sha256"]
        if step.resource == "cron":
            line["entry"] = {key: step.spec[key] for key in _ENTRY if step.spec.get(key) is not None}
        self._append(json.dumps(line).encode() + b"\n")

    def _append(self, data: bytes) -> None:
        self._make_folder()
        path = os.path.join(self._folder, "changes")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(descriptor).st_size > _LIMIT:
                os.rename(path, path + ".1")
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            with open(self._pending_path, "rb") as file:
                found = json.loads(file.read().decode())
        except (FileNotFoundError, ValueError):
            return
        self._pending = found if isinstance(found, dict) else {}

    def _make_folder(self) -> None:
        if not os.path.isdir(self._folder):
            files.mkdir(self._folder, 0o700, -1, -1, parents=True)

    def _store(self) -> None:
        self._make_folder()
        files.write(self._pending_path, json.dumps(self._pending).encode(), 0o600, -1, -1)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
