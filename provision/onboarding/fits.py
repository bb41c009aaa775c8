"""What fits a new host and what does not, in words: its facts, and the playbook's environments against them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provision.errors import ProvisionError
from provision.onboarding.looking import Looked
from provision.printable import printable
from provision.verify.ladder import Finding
from provision.what_if import Verdict

__all__ = ["NEWEST_DRIVER", "Fit", "description", "lines", "refusal"]

NEWEST_DRIVER = "9999.0"
"""A driver that no environment is too new for: what still does not run then, no driver mends."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The environments of one host: as it is, and as it would be with the newest driver.

    `brings_driver`: the playbook installs one; `root`: how its tasks come to be root, "" where none does.
    """

    now: Sequence[Verdict]
    newest: Sequence[Verdict]
    brings_driver: bool = False
    root: str = ""

    @property
    def unfit(self) -> list[Verdict]:
        return [verdict for verdict in self.now if verdict.state != "runs"]

    @property
    def hopeless(self) -> list[Verdict]:
        """Those that will not run, with the reasons that stay where the playbook brings a driver."""
        return [verdict for verdict in self.newest if verdict.state != "runs"] if self.brings_driver else self.unfit

    @property
    def only_driver(self) -> bool:
        """Whether a newer driver would do for all of them."""
        return bool(self.unfit) and all(verdict.state == "runs" for verdict in self.newest)


def description(facts: Mapping[str, Any]) -> str:
    """A host in one line: system, Python, processors, memory, GPUs and driver."""
    system = facts.get("os") or {}
    gpu = facts.get("gpu") or {}
    parts = [
        str(system.get("name") or system.get("id") or "unknown system"),
        str(facts.get("architecture") or ""),
        f"python {facts.get('python')}",
        f"glibc {facts['glibc']}" if facts.get("glibc") else "",
        f"{facts.get('cpus')} processors",
        f"{round(int(facts.get('memory_mb') or 0) / 1024)} GiB of memory",
        _gpus(gpu),
        f"driver {gpu['driver']}" if gpu.get("driver") else "no NVIDIA driver",
        "no systemd: apps run under supervisor" if facts.get("init") == "none" else "",
    ]
    return printable(", ".join(part for part in parts if part))


def lines(looked: Looked, fit: Fit) -> Iterator[str]:
    """Everything that is said of one host, one line each, the good first."""
    yield description(looked.facts)
    if also := ", ".join(part for part in (_free(looked.findings), fit.root) if part):
        yield also
    for verdict in fit.now:
        if verdict.state == "runs":
            yield f"fits: environment {verdict.environment}" + (f" ({verdict.file.name})" if verdict.file else "")
    hopeless = {verdict.environment for verdict in fit.hopeless}
    for verdict in fit.unfit:
        yield f"does not fit: environment {verdict.environment}"
        yield from (f"  {printable(reason)}" for reason in verdict.reasons)
        if verdict.environment not in hopeless:
            yield "  a newer driver would do, and the playbook installs one"
    for finding in looked.findings:
        if finding.status in ("failed", "warning"):
            yield f"{finding.rung}: {printable(finding.summary)}" + (f" (mend: {finding.mend})" if finding.mend else "")


def refusal(name: str, looked: Looked, fit: Fit) -> ProvisionError | None:
    """Why a host cannot join, None where it can: a driver can still be installed, all else stays as it is."""
    broken: list[Finding] = [one for one in looked.findings if one.rung == "system" and one.status == "failed"]
    if broken:
        return ProvisionError(
            f"{name} is not fit to be used",
            cause="\n".join(printable(finding.summary) for finding in broken),
            hint="\n".join(dict.fromkeys(finding.mend for finding in broken if finding.mend)),
            exit_code=2,
        )
    if fit.hopeless:
        reasons = [f"{one.environment}: {'; '.join(one.reasons)}" for one in fit.hopeless]
        return ProvisionError(
            f"{name} cannot run what the playbook builds there",
            cause=printable("\n".join(reasons)),
            hint=_DRIVER if fit.only_driver else _OTHER,
            exit_code=2,
        )
    return None


_DRIVER = (
    "a newer driver would do: the role `nvidia` installs one where the inventory says `nvidia_driver: install`,\n"
    "or choose another --group or --playbook"
)
_OTHER = "choose another --group or --playbook for it, or give the environment a variant for such hosts"


def _free(findings: Sequence[Finding]) -> str:
    """How much is free on the disks that were looked at."""
    free = {one.subject: int(one.detail["free"]) for one in findings if one.subject and "free" in one.detail}
    return "free: " + ", ".join(f"{_size(size)} at {path}" for path, size in free.items()) if free else ""


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _gpus(gpu: Mapping[str, Any]) -> str:
    """The GPUs, equal ones together; simulated ones are called so."""
    kinds: dict[str, int] = {}
    for device in gpu.get("devices") or []:
        kinds[str(device.get("name"))] = kinds.get(str(device.get("name")), 0) + 1
    said = ", ".join(f"{count} x {name}" for name, count in kinds.items())
    if not said:
        return "no GPU answers" + (f" ({gpu['error']})" if gpu.get("error") else "")
    return said + (" (simulated)" if gpu.get("simulated") else "")
