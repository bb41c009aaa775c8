"""Runs one case by both tools and compares results of tasks, and the trees of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ours_play
from differences import Found
from oracle import Oracle
from pairs import Case, Pair


def compare(case: Case, pair: Pair, oracle: Oracle, folder: Path, runs: int = 1) -> list[Found]:
    """Every difference between the two over one case, run so many times; the folder is empty."""
    asked = pair.write(case, folder)
    pair.clean(case)
    found: list[Found] = []
    for number in range(runs):
        ours = ours_play.run(asked["ours"])
        if ours["error"]:
            return [*found, Found("refused", case.playbook, ours["error"], None, {"case": case})]
        theirs = oracle.ask("plays", playbooks=[asked["theirs"]])["runs"][0]
        context = {"case": case, "ours": ours, "theirs": theirs, "run": number + 1}
        found += _differences(case, ours, theirs, context)
        found += _trees(pair.trees(case, "ours"), pair.trees(case, "theirs"), context)
        if found:
            break
    return found


def _differences(case: Case, ours: dict[str, Any], theirs: dict[str, Any], context: Any) -> Iterator[Found]:
    assert not theirs["error"], f"the original gave up: {theirs['error']}"
    for host in case.hosts:
        mine, its = ours["results"].get(host, []), theirs["results"].get(host, [])
        if mine != its:
            told = f"{host} (run {context['run']})"
            mine = [*mine, *ours["errors"].get(host, []), *filter(None, [ours["failed"].get(host)])]
            yield Found("results", told, mine, [*its, *theirs["messages"]], context)
        mine = ours["counts"].get(host, {})
        its = {word: count for word, count in theirs["summary"].get(host, {}).items() if word in ("rescued", "ignored")}
        if any(mine.get(word, 0) != count for word, count in its.items()):
            yield Found("counts", f"{host} (run {context['run']})", mine, its, context)
        lost = host in ours["failed"] or host in ours["lost"]
        counts = theirs["summary"].get(host, {})
        gone = bool(counts.get("failures") or counts.get("unreachable"))
        if lost != gone:
            yield Found("end", host, ours["failed"].get(host, "went well"), counts, context)


def _trees(ours: dict[str, Any], theirs: dict[str, Any], context: Any) -> Iterator[Found]:
    for name in theirs:
        for path in sorted({*ours[name], *theirs[name]}):
            pair = ours[name].get(path), theirs[name].get(path)
            if pair[0] != pair[1]:
                yield Found("tree", f"{name}:{path} (run {context['run']})", *pair, context)
