"""A verdict as metrics for node_exporter's textfile collector, written atomically.

A registry of its own for each file: nothing of this process is in it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.verify.ladder import RUNGS, Verdict

__all__ = ["registry", "write"]


def write(verdict: Verdict, path: Path) -> None:
    """Replace the file at `path`; raises ProvisionError where it cannot be written."""
    from prometheus_client import write_to_textfile

    try:
        write_to_textfile(str(path), registry(verdict))
    except OSError as error:
        raise ProvisionError(
            f"cannot write the metrics to `{path}`", cause=str(error), hint="--metrics names a file"
        ) from None


def registry(verdict: Verdict) -> Any:
    """The metrics of a verdict, in a registry of their own.

    A rung that was not reached, or where there is nothing to look at, has no sample.
    """
    from prometheus_client import CollectorRegistry, Gauge

    own = CollectorRegistry(auto_describe=False)

    def gauge(name: str, text: str, *labels: str) -> Any:
        return Gauge(f"provision_verify_{name}", text, labels, registry=own)

    rung = gauge("rung_ok", "1 where the rung holds, 0 where it is broken.", "host", "rung")
    findings = gauge("findings", "What was found, by status.", "host", "rung", "status")
    reachable = gauge("host_reachable", "1 where the host answered.", "host")
    correct = gauge("host_ok", "1 where no rung of the host is broken.", "host")
    spent = gauge("host_duration_seconds", "How long the host took.", "host")
    simulated = gauge("host_simulated", "1 where the answers rest on simulated parts.", "host")
    for host in verdict.hosts:
        for name in RUNGS:
            if host.rungs[name] in ("ok", "warning", "failed"):
                rung.labels(host.host, name).set(host.rungs[name] != "failed")
        counts = Counter((finding.rung, finding.status) for finding in host.findings)
        for (name, status), count in counts.items():
            findings.labels(host.host, name, status).set(count)
        reachable.labels(host.host).set(not host.unreachable)
        correct.labels(host.host).set(host.broken is None)
        spent.labels(host.host).set(host.seconds)
        simulated.labels(host.host).set(host.simulated)
    gauge("last_run_timestamp_seconds", "When the verification began.").set(verdict.time)
    gauge("last_run_duration_seconds", "How long the verification took.").set(verdict.seconds)
    gauge("exit_code", "0 all true, 2 something is not, 4 a host was unreachable.").set(verdict.exit_code)
    return own
