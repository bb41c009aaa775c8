"""Two operators who apply the same playbook to the same hosts at nearly the same moment: one works, the other is told.

PROVISION_OPERATOR_PAIRS: how many pairs.
"""

from __future__ import annotations

import os
import random
import re
import time

import pytest
from fault_site import HIT, OTHER, WRITTEN, Run, Site

PAIRS = int(os.environ.get("PROVISION_OPERATOR_PAIRS") or 50)
SEED = os.environ.get("PROVISION_FAULT_SEED") or "20261125"
NAMED = re.compile(r"run \S+ of \S+ holds it since \S+ \(pid \d+\)")
"""What a run says that found the host locked."""


@pytest.mark.faults
def test_pairs_of_operators(small_site: Site) -> None:
    rng = random.Random(f"{SEED} operators")
    told: list[str] = []
    came = {"waited": 0, "refused": 0}
    for number in range(PAIRS):
        small_site.unmake(rebuild=number % 2 == 0)
        first = small_site.start()
        time.sleep(rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 2.0)]))
        second = small_site.start()
        codes = [run.end(120) for run in (first, second)]
        for host in (HIT, OTHER):
            told += [f"pair {number}, {host}: {problem}" for problem in _problems(first, second, host, came)]
        assert set(codes) <= {0, 2, 4}, [first.said(HIT), second.said(HIT)]
    assert not small_site.converge(), "a run after the last pair has nothing to do"
    assert not told, "\n".join(told)
    assert came["refused"], "no pair ever met"
    print(f"{PAIRS} pairs on two hosts: {came['refused']} refused by name of the holder, {came['waited']} came after")


def _problems(first: Run, second: Run, host: str, came: dict[str, int]) -> list[str]:
    """What is wrong with one host of a pair."""
    pair = (first, second)
    refused = [run for run in pair if run.of(host, "HostUnreachable", "HostFailed")]
    if len(refused) == 2:
        return ["both were refused"]
    if refused:
        came["refused"] += 1
        said = refused[0].said(host)
        worked = first if refused[0] is second else second
        problems = [] if NAMED.search(said) else [f"the refusal does not name the holder: {said}"]
        problems += ["the refused run has results"] if refused[0].results(host) else []
        return problems + ([] if _did_all(worked, host) else ["the other did not do it all"])
    came["waited"] += 1
    spans = sorted(_span(run, host) for run in pair)
    together = spans[1][0] < spans[0][1]
    changed = [run.results(host).get(WRITTEN) for run in pair].count("changed")
    return (["both worked at the same time"] if together else []) + (
        [] if changed == 1 else [f"{changed} runs wrote the configuration"]
    )


def _did_all(run: Run, host: str) -> bool:
    return run.results(host).get(WRITTEN) == "changed" and run.when("HostEnded", host) is not None


def _span(run: Run, host: str) -> tuple[float, float]:
    """From the first step to the last, as the control node saw them."""
    moments = [at for at, event in run.events if event.get("host") == host and event["event"].startswith("Step")]
    return moments[0], moments[-1]
