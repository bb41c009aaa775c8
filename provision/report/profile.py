"""Where a run's time went: the slowest tasks and hosts. A fold of events; pure."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from provision.agent.record import record
from provision.events import Connected, Event, HostEnded, StepEnded

__all__ = ["Profile"]

MOST = 10
"""Tasks and hosts that are named."""


@record(slots=True)
class TaskTime:
    """What one task took over all hosts: seconds, results, and the host that it took longest on."""

    seconds: float = 0.0
    count: int = 0
    longest: float = 0.0
    host: str = ""


@record(slots=True)
class Profile:
    """Seconds of tasks on hosts, of hosts, and of their connections."""

    tasks: dict[str, TaskTime] = field(default_factory=dict)
    hosts: dict[str, float] = field(default_factory=dict)
    connections: dict[str, float] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event into account."""
        match event:
            case StepEnded() if event.result.step >= 0:
                task = self.tasks.setdefault(event.title, TaskTime())
                task.seconds += event.result.seconds
                task.count += 1
                if event.result.seconds >= task.longest:
                    task.longest, task.host = event.result.seconds, event.host
            case Connected():
                self.connections[event.host] = event.seconds
            case HostEnded():
                self.hosts[event.host] = event.seconds

    def slowest_tasks(self) -> list[tuple[str, TaskTime]]:
        """By the longest time on any one host: that is what the others wait for."""
        return sorted(self.tasks.items(), key=lambda item: -item[1].longest)[:MOST]

    def slowest_hosts(self) -> list[tuple[str, float]]:
        return sorted(self.hosts.items(), key=lambda item: -item[1])[:MOST]

    def document(self) -> dict[str, Any]:
        """As JSON: seconds, rounded to milliseconds."""
        return {
            "tasks": [
                {
                    "title": title,
                    "longest": round(task.longest, 3),
                    "host": task.host,
                    "mean": round(task.seconds / task.count, 3),
                    "results": task.count,
                }
                for title, task in self.slowest_tasks()
            ],
            "hosts": [
                {"host": host, "seconds": round(seconds, 3), "connect": round(self.connections.get(host, 0.0), 3)}
                for host, seconds in self.slowest_hosts()
            ],
        }
