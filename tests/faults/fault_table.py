"""The table of kinds, trials and outcomes that a run of the fault suite writes to docs/faults.md."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from fault_kinds import KINDS
from fault_trial import Verdict

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/faults.md"
HEAD = """\
# Faults

Written by `make faults`: a real `apply` of `playbooks/gpu-cluster.yaml` on two hosts of a lab (GPUs simulated), one
of which is hit by the fault at a seeded random moment. A trial holds where, afterwards, a tree of {files} files in
/data and the users' own files have the bytes they had, `envs/NAME` never led to anything but a sealed environment
(looked at every 50 ms), no task was claimed `ok` or `changed` that the next run had to do again, the other host did all
that it had to do, the report names the cause, the next run converges and the one behind it changes nothing.

"""


class Table:
    """Verdicts as they come."""

    def __init__(self, files: int = 10_000) -> None:
        self.files = files
        self.verdicts: list[Verdict] = []
        self.begun = time.monotonic()

    def add(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def write(self) -> None:
        """Write the document, where this run tried every kind; a part of them leaves it as it was."""
        target = Path(os.environ.get("PROVISION_FAULTS_TABLE") or DOCUMENT)
        tried = {verdict.kind for verdict in self.verdicts}
        if tried >= set(KINDS) or target != DOCUMENT:
            target.write_text(self.text())

    def text(self) -> str:
        """The document."""
        lines = ["| fault | trials | outcomes | held | times, longest (s) |", "|---|---|---|---|---|"]
        for name in KINDS:
            of = [verdict for verdict in self.verdicts if verdict.kind == name]
            if of:
                lines.append(_row(name, of))
        failed = [verdict for verdict in self.verdicts if verdict.problems]
        total = f"{len(KINDS)} kinds, {len(self.verdicts)} trials in {(time.monotonic() - self.begun) / 60:.0f} minutes"
        text = (
            f"{HEAD.replace('{files}', f'{self.files:,}')}{total}; {len(failed)} did not hold.\n\n"
            + "\n".join(lines)
            + "\n"
        )
        if failed:
            text += "\n## What did not hold\n\n"
            text += "".join(f"- {one.kind} (seed `{one.seed}`): {one.problems[0].splitlines()[0]}\n" for one in failed)
        return text


def _row(name: str, of: list[Verdict]) -> str:
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in Counter(one.outcome for one in of).most_common())
    names = dict.fromkeys(figure for one in of for figure in one.figures)
    times = "; ".join(f"{figure} {max(one.figures.get(figure, 0.0) for one in of):.1f}" for figure in names)
    return f"| {name} | {len(of)} | {outcomes} | {sum(not one.problems for one in of)} | {times} |"
