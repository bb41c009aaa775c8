"""What provision made on hosts and the playbook no longer names: found behind the plays of each host.

Stands in the place of `compile.next_batch`, which it asks; the host is asked what was made there once its plays are
through. Where it cannot be told what a task names, nothing of the host is judged. Must not take anything away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.agent.protocol import Result, Step
from provision.agent.record import record
from provision.compile import Batch, Cursor, HostVariables, next_batch
from provision.errors import ProvisionError
from provision.modules import INCLUDES
from provision.outcome import PlannedStep
from provision.playbook import Play, Task
from provision.render import KnownAfterApply, Unsettled
from provision.scopes import Scopes
from provision.session import NextBatch
from provision.source import Template
from provision.verify.probes import Named

__all__ = ["Orphan", "Orphans", "found"]

_KEYS = ("path", "dest", "name", "user", "cron_file", "root", "state")
_MAKERS = frozenset(("app", "conda_env", "copy", "cron", "file", "get_url", "git", "link", "template", "unarchive"))
"""Words of tasks that name what may be on the list of what was made."""
_DATA = {"checkout": "a checkout may hold work", "other": "it is no file, link or directory"}


@record(frozen=True, slots=True)
class Orphan:
    """One thing. `kind`: app, environment, file, link, directory, checkout or crontab; `what` is its path or name.

    `step` made it, as far as it is known; `sha256` is what was written to a file, `entry` are the options of a line of
    a crontab. `stays` says why it is not taken away, "" where the host may do that.
    """

    kind: str
    what: str
    step: str = ""
    sha256: str = ""
    entry: tuple[tuple[str, Any], ...] = ()
    stays: str = ""


class Orphans:
    """One host: goes through its plays as they are, then asks what was made. `plays` are all that it takes part in."""

    def __init__(self, plays: Sequence[Play], playbook: str, compile_batch: NextBatch = next_batch) -> None:
        self._left = [id(play) for play in plays]
        self._playbook = playbook
        self.inner = compile_batch
        self._named = Named()
        self._entries: set[tuple[str, str, str]] = set()
        self._seen: set[str] = set()
        self._skipped: set[str] = set()
        self._held: Batch | None = None
        self._asked = -1
        self._made: Mapping[str, Any] | None = None
        self.unclear = ""
        """Why nothing can be judged, "" where it can."""

    def __call__(
        self,
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        """The next batch; the last of the host's plays is followed by one look."""
        if self._held:
            told = results.get(self._asked)
            self._made = told.fields if told and told.status == "ok" else None
            batch, self._held = self._held, None
            return batch, cursor
        batch, after = self.inner(play, cursor, variables, results, pending)
        self._named.add(batch.steps)
        verdicts = [*batch.verdicts, *(verdict for item in batch.steps for verdict in item.then)]
        self._skipped |= {str(verdict.where) for verdict in verdicts if verdict.result.status == "skipped"}
        for item in batch.steps:
            self._seen.add(str(item.where))
            self._entry(item.step.resource, item.step.spec)
        if batch.failed or variables.halted:
            self.unclear = "it did not come to its end"
        if not batch.done or self.unclear:
            return batch, after
        self._unrun(play, Scopes(play, variables, dict(after.facts)))
        self._left.remove(id(play))
        if self._left or self.unclear:
            return batch, after
        self._held, self._asked = batch, after.next_id
        return Batch(steps=(self._look(after.next_id),)), replace(after, next_id=after.next_id + 1)

    def found(self) -> list[Orphan]:
        """The orphans, as they are to go: what lies in a directory before the directory."""
        if self.unclear or not self._made:
            return []
        return list(found(self._made, self._named, self._entries, self._playbook))

    def _look(self, number: int) -> PlannedStep:
        roots = dict.fromkeys(("/opt/conda", *(root for root, _ in self._named.environments)))
        step = Step(number, "verify_made", {"roots": list(roots)}, "what provision made", check=True)
        step = replace(step, on_failure="continue")
        return PlannedStep(step, step.name, None, ignore_errors=True, judged=True)

    def _entry(self, resource: str, spec: Mapping[str, Any]) -> None:
        if resource == "cron":
            self._entries.add(_entry_key(spec))

    def _unrun(self, play: Play, scopes: Scopes) -> None:
        """Tasks that were skipped, or that only apply can tell of, name things as well."""
        for task in play.tasks:
            if task.module in INCLUDES and task.content is None and str(task.where) in self._skipped:
                self.unclear = f'task "{task.title}" ({task.where}) was skipped, and what it would bring is not known'
                return
            if task.module not in _MAKERS or str(task.where) in self._seen:
                continue
            try:
                for values in _values(task, scopes):
                    self._name(task, values)
            except (ProvisionError, Unsettled, KnownAfterApply, TypeError) as error:
                summary = error.summary if isinstance(error, ProvisionError) else "it is known after apply"
                self.unclear = f'what task "{task.title}" ({task.where}) names cannot be told: {summary}'
                return

    def _name(self, task: Task, values: Mapping[str, Any]) -> None:
        path, name = values.get("path") or values.get("dest"), str(values.get("name", ""))
        if isinstance(path, str):
            self._named.paths.add(path.rstrip("/"))
            if path.endswith("/") and isinstance(task.arguments.get("src"), str):
                self._named.paths.add(path + Path(str(task.arguments["src"])).name)
        if task.module == "app":
            self._named.absent.add(("app", name))
        elif task.module == "conda_env":
            # its name may stand in its file only
            self._named.absent |= {("environment", name)} if name else set()
            if not name:
                self.unclear = (
                    f'task "{task.title}" ({task.where}) was skipped, and the name of its environment is not known'
                )
        elif task.module == "cron":
            self._entries.add(_entry_key(values))


def _values(task: Task, scopes: Scopes) -> Iterator[dict[str, Any]]:
    """The arguments that name something, rendered for each item of a loop."""
    wanted = {key: task.arguments[key] for key in _KEYS if key in task.arguments}
    plain = not any(isinstance(value, Template) for value in wanted.values())
    if task.loop is None or plain:
        scope = scopes.of(task)
        yield {key: scope.render(value) for key, value in wanted.items()}
        return
    for item in scopes.of(task).render(task.loop):
        inner = scopes.inner(task, {task.loop_var: item})
        yield {key: inner.render(value) for key, value in wanted.items()}


def _entry_key(values: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(values.get("name", "")), str(values.get("user") or ""), str(values.get("cron_file") or "")


def found(made: Mapping[str, Any], named: Named, entries: set[tuple[str, str, str]], playbook: str) -> Iterator[Orphan]:
    """What of `verify_made`'s fields no play names; what another playbook made is none. Pure."""
    for one in _ours(made.get("apps"), playbook):
        if one["name"] not in named.apps and ("app", one["name"]) not in named.absent:
            yield Orphan("app", str(one["name"]), stays=_stays(one))
    for one in _ours(made.get("environments"), playbook):
        root, name = str(one["root"]), str(one["name"])
        if (root, name) not in named.environments and ("environment", name) not in named.absent:
            yield Orphan("environment", f"{root}/envs/{name}", stays=_stays(one))
    for one in _ours(made.get("crontab"), playbook):
        if _entry_key(one) not in entries:
            entry = tuple((key, one[key]) for key in ("name", "user", "cron_file", "env") if key in one)
            yield Orphan("crontab", str(one["name"]), str(one.get("step", "")), entry=entry, stays=_stays(one))
    paths = [one for one in _ours(made.get("paths"), playbook) if str(one["path"]) not in named.paths]
    for one in sorted(paths, key=lambda each: (-str(each["path"]).count("/"), str(each["path"]))):
        if not _within(str(one["path"]), named):
            kind, digest = _kind(one), str(one.get("sha256", ""))
            yield Orphan(kind, str(one["path"]), str(one.get("step", "")), digest, stays=_stays(one, kind))


def _stays(one: Mapping[str, Any], kind: str = "") -> str:
    if not one.get("playbook"):
        return "it is not known which playbook made it"
    return _DATA.get(kind, "")


def _ours(told: Iterable[Mapping[str, Any]] | None, playbook: str) -> Iterator[Mapping[str, Any]]:
    return (one for one in told or () if one.get("playbook") in (None, "", playbook))


def _within(path: str, named: Named) -> bool:
    """Whether a path is what a named directory with something in it needs: above something that is named."""
    return any(each.startswith(path + "/") for each in named.paths)


def _kind(one: Mapping[str, Any]) -> str:
    return "checkout" if one.get("resource") == "git" else str(one.get("kind") or "other")
