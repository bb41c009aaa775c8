"""What changed between two verifications, and how long they go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import NOW, busy, edited, healthy, host, stopped
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.verify.ladder import Finding, Verdict
from provision.verify.text import plain
from provision.verify.watch import changes, interval, repeated


def of(*hosts: object) -> Verdict:
    return Verdict("play.yaml", hosts, seconds=1.0, time=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("90", 90), (" 2 min ", 120), ("1.5m", 90)]
)
def test_intervals(text: str, seconds: float) -> None:
    assert interval(text) == seconds


@pytest.mark.parametrize("text", ["", "5 days", "0", "-1s", "m", "0.5s"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ProvisionError, match="is no interval"):
        interval(text)


def test_nothing_is_printed_where_nothing_changed() -> None:
    first = of(host("a", stopped("a")))
    moved = replace(stopped("a"), summary="its unit is stopped for 3 min")
    assert changes(first, of(host("a", moved))) == []


def test_what_is_new_and_what_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    before = of(host("a", stopped("a")), host("b", busy()), host("c"))
    after = of(host("a"), host("b", edited("b"), busy()), host("c", edited("c")))
    assert plain(changes(before, after)) == snapshot


def test_what_is_not_reached_any_more_is_not_called_gone() -> None:
    before, after = of(host("a", stopped("a"))), of(host("a", edited("a"), stopped("a")))
    told = plain(changes(before, after))
    assert "+ environments" in told
    assert "apps" not in told


class Clock:
    """Time that goes on only while somebody sleeps; Ctrl-C after so many naps."""

    def __init__(self, naps: int) -> None:
        self.now, self.naps, self.slept = 0.0, naps, []  # type: ignore[var-annotated]

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if len(self.slept) >= self.naps:
            raise KeyboardInterrupt


def watched(verdicts: list[Verdict], clock: Clock) -> tuple[int, list[bool]]:
    told: list[bool] = []
    rounds = iter(verdicts)

    def look() -> Verdict:
        clock.now += 2
        return next(rounds)

    code = repeated(look, lambda after, before: told.append(before is None), 10, sleep=clock.sleep, clock=clock)
    return code, told


def test_ctrl_c_ends_with_the_code_of_the_last_whole_verification() -> None:
    clock = Clock(2)
    assert watched([healthy(1), of(host("a", stopped("a")))], clock) == (2, [True, False])
    assert clock.slept == [8, 8]


def test_ctrl_c_during_a_verification_tells_nothing_of_it() -> None:
    half = replace(of(host("a", stopped("a"))), interrupted=True)
    assert watched([healthy(1), half], Clock(9)) == (0, [True])
    assert watched([half], Clock(9)) == (130, [])


def test_a_round_that_takes_longer_than_the_interval_is_followed_at_once() -> None:
    clock = Clock(1)
    long = Finding("apps", "apps.state", "ok", "runs")

    def look() -> Verdict:
        clock.now += 60
        return of(host("a", long))

    assert repeated(look, lambda after, before: None, 10, sleep=clock.sleep, clock=clock) == 0
    assert clock.slept == [0]
