"""The tasks of a title, each explained where it stands in the plays.

Pure: of plays, variables and stored facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from difflib import get_close_matches

from provision.agent.record import record
from provision.among import HERE
from provision.clashes import UNKNOWN
from provision.errors import ProvisionError
from provision.explain.before import Before
from provision.explain.parts import Explanation, Seen
from provision.explain.task import explain
from provision.playbook import Play, Task, gathers
from provision.scopes import HostVariables, Run, Scopes
from provision.source import nearest

__all__ = ["explained"]

_NEAR = 5


def explained(
    plays: Sequence[Play], hosts: Sequence[tuple[str, ...]], run: Run, host: str, wanted: str
) -> list[Explanation]:
    """Each task of that title on a host, in their order; `run.facts_of` holds what is known of hosts.

    Raises ProvisionError where there is no such task, or no such host.
    """
    if host not in run.inventory.hosts and host not in HERE:
        hint = nearest(host, set(run.inventory.hosts)) or "`provision inventory --graph` shows the hosts"
        raise ProvisionError(f"there is no host `{host}` in the inventory", hint=hint)
    looking, before = _Looking(wanted), Before()
    facts, told = run.facts_of.get(host, {}), gathers(plays, hosts, host)
    for play, names in zip(plays, hosts, strict=True):
        asked = told or any(task.module == "setup" for task in play.tasks)
        # a play that is for others sets nothing on this host
        own = before if host in names else Before(dict(before.values), dict(before.by))
        looking.seen = Seen(_no_fact(host, bool(facts)) if asked else "", own.by, run.limit, own.ended, own.at)
        own.play(play, HostVariables(run, host, facts, names, gathered=told), looking.visit)
    return looking.found()


def _no_fact(host: str, some: bool) -> str:
    return (
        f"a fact that {host} had not told when it was last seen" if some else f"a fact, and none of {host} are stored"
    )


@record(slots=True)
class _Looking:
    """Looks for tasks by their title, with the role, then by their plain name; `seen` is of the play at hand."""

    wanted: str
    seen: Seen = Seen("", {})
    titles: dict[str, None] = field(default_factory=dict)
    exact: list[Explanation] = field(default_factory=list)
    named: list[Explanation] = field(default_factory=list)

    def visit(self, task: Task, scopes: Scopes) -> None:
        """Explain a task here and now, where it is one that is looked for."""
        titles, names = _titles(task, scopes)
        self.titles |= dict.fromkeys(titles[-1:])
        if self.wanted in titles:
            self.exact.append(explain(task, scopes, self.seen))
        elif self.wanted in names:
            self.named.append(explain(task, scopes, self.seen))

    def found(self) -> list[Explanation]:
        """What was found; raises ProvisionError with the titles that are near."""
        found = self.exact or self.named
        if found:
            return found
        word = self.wanted.lower()
        near = [title for title in self.titles if word in title.lower()]
        near += get_close_matches(self.wanted, list(self.titles), _NEAR, 0.5)
        named = [f"`{title}`" for title in list(dict.fromkeys(near))[:_NEAR]]
        raise ProvisionError(
            f"there is no task `{self.wanted}`",
            hint=f"near are {', '.join(named)}" if named else "`provision plan PLAYBOOK --list-tasks` lists them",
        )


def _titles(task: Task, scopes: Scopes) -> tuple[list[str], list[str]]:
    """The titles and the plain names of a task, as written and as rendered."""
    name = str(task.name or task.module)
    names = [name]
    if "{{" in name:
        try:
            names.append(str(scopes.of(task).render(task.name)))
        except UNKNOWN:
            pass
    return [f"{task.role.name} : {name}" if task.role else name for name in names], names
