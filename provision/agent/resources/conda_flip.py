"""Makes an environment's newest generation of a lock serve: one rename of its link.

Compiled after the last app of an environment, so that nothing moves before all are healthy. Generations that nobody
needs go then.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List

from .. import flipping, generations
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """The environment and the lock that is to serve.

    `keep`: how many generations stay, with the one that serves. `takeover`: a real directory at the link's place is
    exchanged for the link and kept beside it.

        conda_flip:
          name: img2video-torch20-cu118
          lock: 0f343b0931126a20f133d67c2b018a3b5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
    """

    name: str
    lock: str
    root: str = "/opt/conda"
    keep: int = 2
    takeover: bool = False

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError("keep: at least 1, the generation that serves")


@record(frozen=True)
class State:
    """`serves` and `wanted` are paths of generations, "" for none; `directory`: a real one is at the link's place."""

    serves: str
    wanted: str
    directory: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look at the link and the sealed generations."""
    link = generations.link_path(spec.root, spec.name)
    now = generations.current(system, spec.root, spec.name)
    wanted = generations.find(system, spec.root, spec.name, spec.lock)
    directory = os.path.isdir(link) and not os.path.islink(link)
    serves = now.path if now else ""
    if wanted is None or link in system.pending:
        expected = generations.expected_path(spec.root, spec.name, spec.lock)
        return State(serves, expected if system.check and link in system.pending else "", directory)
    return State(serves, wanted.path, directory)


def decide(spec: Spec, state: State) -> List[Action]:
    """FLIP where another generation serves."""
    link = generations.link_path(spec.root, spec.name)
    if not state.wanted:
        if state.directory:
            return []
        raise Refusal(
            "environment `%s` has no generation of lock %s" % (spec.name, spec.lock[:12]),
            "the link can only lead to one that is built and sealed",
            "let `conda_env` build it first",
        )
    if state.directory and not spec.takeover:
        raise Refusal(
            "cannot set the link `%s`" % link,
            "it is a real directory; a link never replaces data",
            "set `takeover: true` for the environment: the directory is exchanged and kept beside it",
        )
    if state.serves == state.wanted:
        return []
    before = os.path.basename(state.serves) if state.serves else ("a directory" if state.directory else None)
    arguments = {"spec": spec, "path": state.wanted}
    return [Action(Verb.FLIP, link, arguments, before=before, after=os.path.basename(state.wanted))]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Rename the link, release the lock's hold, and remove what nobody needs."""
    from .. import pruning

    spec: Spec = action.arguments["spec"]
    with generations.lock_environment(system, spec.root, spec.name):
        wanted = generations.find(system, spec.root, spec.name, spec.lock)
        if wanted is None or wanted.path != action.arguments["path"]:
            raise Refusal("environment `%s` was changed by somebody else" % spec.name, "", "run again")
        kept = flipping.flip(system, spec.root, spec.name, wanted, takeover=spec.takeover)
        generations.release(system, spec.root, spec.name, spec.lock)
        if kept:
            emit(output="the directory that was there is kept as %s\n" % kept)
        for path in pruning.prune(system, spec.root, spec.name, spec.keep, lambda text: emit(output=text + "\n")):
            emit(output="removed generation %s\n" % os.path.basename(path))
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """The generation that serves."""
    return {"generation": state.wanted or generations.link_path(spec.root, spec.name), "lock": spec.lock}
