"""Runs the agent's converge loop inside a lab host, without any transport: for tests of resources on a real systemd.

The agent's modules are copied to the host; steps go in as JSON, what came of each comes out as JSON.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import provision.agent
from provision.lab.hosts import Host

PLACE = "/opt/agent-under-test"
DRIVER = """
import json, resource, sys, time
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
sys.path.insert(0, "PLACE")
from provision_agent import questions
from provision_agent.protocol import Step
from provision_agent.resource import Refusal
from provision_agent.resources import load
from provision_agent.system import System
from provision_agent.worker import Outcome, converge
job = json.load(sys.stdin)
blobs, check = job["blobs"], job["check"]
system = System(blob=lambda sha: blobs.get(sha, ""), facts=job["facts"], check=check, pending=set(job["pending"]))
system.notes.update(job["notes"])
steps = [Step(id=n, resource=r, spec=s, check=job["check"]) for n, (r, s) in enumerate(job["steps"])]
progress, results = [], []
for step in steps:
    before = cpu()
    module, began = load(step.resource), time.perf_counter()
    if hasattr(module, "questions") and not system.answers:
        asking = [(load(s.resource), s.spec) for s in steps if hasattr(load(s.resource), "questions")]
        questions.answer(system, [question for m, spec in asking for question in m.questions(m.Spec(**spec))])
    outcome, error = Outcome(), None
    try:
        converge(step, system, lambda **what: progress.append(what), lambda action: None, outcome)
    except Refusal as refusal:
        outcome.fields.update(refusal.fields)
        error = {"summary": refusal.summary, "cause": refusal.cause, "hint": refusal.hint}
    actions = [[a.verb.word, a.target, a.before, a.after] for a in outcome.actions]
    seconds = time.perf_counter() - began
    results.append({"actions": actions, "fields": outcome.fields, "error": error, "seconds": seconds})
    results[-1]["cpu_seconds"] = cpu() - before
print(json.dumps({"results": results, "progress": progress}))
""".replace("PLACE", PLACE)


@dataclass
class Outcome:
    """What one step came to."""

    actions: list[tuple[str, str, str | None, str | None]]
    fields: dict[str, Any]
    error: dict[str, str] | None
    seconds: float
    cpu_seconds: float = 0.0
    progress: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> list[str]:
        """Verb and target of each action."""
        return [f"{verb} {target}" for verb, target, _, _ in self.actions]


class OnHost:
    """The agent's loop on one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        source, place = Path(provision.agent.__file__).parent, Path(f"{host.root}{PLACE}")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place / "provision_agent", ignore=shutil.ignore_patterns("__pycache__"))

    def converge(
        self,
        *steps: tuple[str, dict[str, Any]],
        check: bool = False,
        pending: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
        blobs: dict[str, str] | None = None,
    ) -> list[Outcome]:
        """Run steps one after another in one agent. `blobs`: content by its hash, as paths on the host."""
        told = {"init": "systemd", "os": {"id": "debian"}, "gpu": GPU, **(facts or {})}
        job = {"steps": steps, "check": check, "pending": list(pending), "facts": told, "notes": {}}
        job["blobs"] = blobs or {}
        done = self.host.run(["python3", "-IS", "-c", DRIVER], stdin=json.dumps(job), timeout=120)
        answer = json.loads(done.stdout)
        results = [
            {**result, "actions": [tuple(action) for action in result["actions"]]} for result in answer["results"]
        ]
        return [Outcome(progress=answer["progress"], **result) for result in results]


GPU = {
    "driver": "535.104.05",
    "cuda": "12.2",
    "simulated": True,
    "devices": [
        {"index": 0, "uuid": "GPU-0", "name": "NVIDIA A10", "memory_mb": 23028, "compute_capability": "8.6"},
        {"index": 1, "uuid": "GPU-1", "name": "NVIDIA A10", "memory_mb": 23028, "compute_capability": "8.6"},
    ],
}
