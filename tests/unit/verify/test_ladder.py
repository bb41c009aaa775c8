"""Findings to rungs to verdicts, and hosts folded together; pure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import edited, fleet, healthy, host, lost, right, stopped

from provision.verify.ladder import NOT_REACHED, RUNGS, Finding, Verdict, fold_hosts, grouped, judge, patterns


def test_the_ladder_stops_at_the_first_broken_rung() -> None:
    verdict = host("n1", stopped("n1"), edited("n1"))
    assert verdict.broken == "environments"
    assert [verdict.rungs[rung] for rung in RUNGS] == ["ok"] * 3 + ["failed"] + [NOT_REACHED] * 5
    assert {finding.rung for finding in verdict.findings} == {"reachable", "system", "driver", "environments"}


def test_a_warning_breaks_no_rung() -> None:
    verdict = host("n1", Finding("driver", "driver.persistence", "warning", "off"))
    assert (verdict.broken, verdict.rungs["driver"], verdict.rungs["apps"]) == (None, "warning", "ok")


def test_a_rung_where_all_is_skipped_or_nothing_is_there_is_skipped() -> None:
    verdict = judge("n1", [Finding("compute", "compute.product", "skipped", "no GPU")])
    assert set(verdict.rungs.values()) == {"skipped"}
    assert verdict.broken is None


def test_drift_is_left_out_where_a_probe_says_what_is_wrong() -> None:
    drift = Finding("apps", "apps.app", "failed", "`web` would change", "web", {"drift": True})
    assert drift not in host("n1", drift, stopped("n1")).findings
    assert drift in host("n1", drift).findings


def test_what_several_tasks_say_of_one_thing_is_told_once() -> None:
    found = [
        Finding(
            "environments", "environments.user_packages", "failed", "they shadow", "root", {"where": f"a.yaml:{line}"}
        )
        for line in (1, 2)
    ]
    assert [each.detail for each in host("n1", *found).findings if each.status == "failed"] == [{"where": "a.yaml:1"}]
    other = replace(found[1], summary="they shadow something else")
    assert len([each for each in host("n1", *found, other).findings if each.status == "failed"]) == 2


def test_an_app_that_still_starts_is_no_drift() -> None:
    drift = Finding("apps", "apps.app", "failed", "`web` does not run", "web", {"drift": True})
    starts = Finding("apps", "apps.health", "warning", "it starts since 3 s", "web")
    assert host("n1", drift, starts).broken is None
    other = Finding("apps", "apps.health", "warning", "it starts since 3 s", "other")
    assert host("n1", drift, other).broken == "apps"


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ((host("a"),), 0),
        ((host("a"), host("b", stopped("b"))), 2),
        ((host("a"), lost("b")), 4),
        ((host("a", stopped("a")), lost("b")), 6),
    ],
)
def test_exit_codes_add_up_and_unreachable_is_never_failed(hosts: tuple[object, ...], code: int) -> None:
    assert Verdict("p", hosts).exit_code == code  # type: ignore[arg-type]
    assert Verdict("p", hosts, interrupted=True).exit_code == 130  # type: ignore[arg-type]


def test_simulated_comes_from_findings_too() -> None:
    told = Finding("compute", "compute.product", "ok", "2 ms", detail={"simulated": True})
    assert judge("n1", [told]).simulated
    assert not judge("n1", right()).simulated


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["gpu-01", "gpu-02", "gpu-03", "gpu-07"], "gpu-[01:03], gpu-07"),
        (["gpu-9", "gpu-10", "gpu-11"], "gpu-9, gpu-[10:11]"),
        (["n1.rack", "n2.rack", "login"], "n[1:2].rack, login"),
        (["a", "a", "b"], "a, b"),
        (["gpu-03", "gpu-01", "gpu-02"], "gpu-[01:03]"),
        (["r1-n1", "r1-n2", "r2-n1"], "r1-n[1:2], r2-n1"),
        ([], ""),
    ],
)
def test_hosts_fold_into_ranges(names: list[str], folded: str) -> None:
    assert fold_hosts(names) == folded


def test_equal_findings_of_many_hosts_are_one_with_a_mend_for_all_of_them() -> None:
    (group,) = [each for each in grouped(fleet().hosts, ["failed"]) if each.finding.rung == "environments"]
    assert group.hosts == ("gpu-03", "gpu-04", "gpu-05", "gpu-09")
    assert group.mend == "provision apply play.yaml -l gpu-03,gpu-04,gpu-05,gpu-09"
    assert group.alike


def test_a_mend_for_all_hosts_needs_no_limit() -> None:
    hosts = [host(name, stopped(name)) for name in ("a", "b")]
    assert [group.mend for group in grouped(hosts, ["failed"])] == ["provision apply play.yaml"]


def test_a_host_in_its_own_summary_does_not_make_findings_different() -> None:
    (group,) = grouped([lost("a"), lost("b")], ["failed"])
    assert (group.hosts, group.summary) == (("a", "b"), "the host refused the connection")
    (single,) = grouped([lost("a")], ["failed"])
    assert single.summary == "`a` refused the connection"


def test_rows_of_a_fleet_are_shared() -> None:
    rows = patterns(fleet().hosts)
    assert len(rows) == 6
    assert len(rows[0][1]) == 41
    assert len(patterns(healthy().hosts)) == 1


@pytest.mark.parametrize("told", [{}, {"rung": "roof", "status": "ok"}, {"rung": "apps", "status": "fine"}])
def test_what_is_no_finding_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a finding of the rung"):
        Finding.of(told)
