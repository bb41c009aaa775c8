"""A host that reboots is waited for: until it answers from another boot, time is up, or the run is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import rebooting
from provision.agent.protocol import Ready, Result, Step
from provision.errors import ProvisionError
from provision.outcome import PlannedStep
from provision.rebooting import Patience, await_return
from provision.transport import Unreachable

REFUSED = Unreachable("refused", "`gpu-01` refuses connections", cause="`10.0.0.1` port 22")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Connection:
    """What a connection that was made is asked to do."""

    here = False

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Host:
    """Answers each try with the next of these: an error, or the id of the boot that runs."""

    def __init__(self, *answers: str | ProvisionError) -> None:
        self.answers = list(answers)
        self.made: list[Connection] = []

    def __call__(self) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ProvisionError):
            raise answer
        self.made.append(Connection())
        return self.made[-1], Ready({"boot_id": answer}, [])


def patience(time: Time, seconds: float = 60, cancelled: Callable[[], bool] = lambda: False) -> Patience:
    return Patience(4, seconds, cancelled, lambda _: None, time, time.sleep)


def test_it_is_back_when_it_answers_from_another_boot() -> None:
    time = Time()
    locked = ProvisionError("another run works on this host", exit_code=2)
    host = Host("b1", REFUSED, REFUSED, locked, "b2")
    opened, ready = await_return("gpu-01", "b1", host, patience(time))
    assert ready.facts["boot_id"] == "b2"
    assert opened is host.made[1]
    assert [connection.closed for connection in host.made] == [True, False]
    assert time.now == pytest.approx(100 + 4 + 4, abs=0.5)


def test_a_host_that_does_not_say_which_boot_runs_is_not_taken_for_back() -> None:
    host = Host("", "b2")
    _, ready = await_return("gpu-01", "b1", host, patience(Time()))
    assert ready.facts["boot_id"] == "b2" and host.made[0].closed


def test_it_is_given_up_with_the_reason_of_the_last_try(snapshot: SnapshotAssertion) -> None:
    time = Time()
    with pytest.raises(Unreachable) as caught:
        await_return("gpu-01", "b1", Host("b1", REFUSED), patience(time, 20))
    assert caught.value.kind == "reboot"
    assert str(caught.value) == snapshot
    assert time.now == pytest.approx(120, abs=1.5)


def test_a_host_that_never_went_down_is_named(snapshot: SnapshotAssertion) -> None:
    with pytest.raises(Unreachable) as caught:
        await_return("gpu-01", "b1", Host("b1"), patience(Time(), 20))
    assert str(caught.value) == snapshot


@pytest.mark.parametrize("kind", ["host-key-changed", "host-key-unknown", "ssh-config"])
def test_what_no_waiting_mends_ends_it_at_once(kind: str) -> None:
    time = Time()
    with pytest.raises(Unreachable) as caught:
        await_return("gpu-01", "b1", Host(Unreachable(kind, "no")), patience(time))
    assert caught.value.kind == kind
    assert time.now < 106


def test_an_interruption_ends_it_at_once() -> None:
    time = Time()
    host = Host(REFUSED)
    with pytest.raises(Unreachable, match="the run ended"):
        await_return("gpu-01", "b1", host, patience(time, cancelled=lambda: time.now > 110))
    assert time.now < 110.5


def planned(resource: str = "reboot", **more: Any) -> PlannedStep:
    return PlannedStep(Step(7, resource, {"reboot_timeout": 60, "pre_reboot_delay": 5}, **more), "Reboot", None)


def result(verb: str, status: str = "changed") -> Result:
    return Result(7, status, [{"verb": verb, "target": "gpu-01"}])


@pytest.mark.parametrize(
    ("item", "ended", "goes"),
    [
        (planned(), result("reboot"), True),
        (planned(check=True), result("reboot"), False),
        (planned(), result("run"), False),
        (planned(), result("reboot", "failed"), False),
        (planned("command"), result("reboot"), False),
    ],
)
def test_only_a_reboot_that_was_asked_for_takes_the_host_away(item: PlannedStep, ended: Result, goes: bool) -> None:
    assert rebooting.reboots(item, ended) is goes


def test_both_halves_are_one_result() -> None:
    step = rebooting.confirming(planned(notify=["h1"]).step, "b1", 41.2)
    assert (step.spec["since"], step.spec["reboot_timeout"], step.notify) == ("b1", 41, [])
    after = Result(7, "changed", [{"verb": "remove", "target": "the record"}], {"boot_id": "b2"})
    whole = rebooting.confirmed(result("reboot"), after, 12.3)
    assert (whole.status, whole.actions) == ("changed", result("reboot").actions)
    assert whole.fields == {"boot_id": "b2", "elapsed": 12}
    failed = Result(7, "failed", error={"summary": "it does not succeed"})
    assert rebooting.confirmed(result("reboot"), failed, 12.3).error == {"summary": "it does not succeed"}


def test_the_delay_before_the_reboot_comes_on_top() -> None:
    chosen = rebooting.patience_for(planned(), lambda: False, lambda _: None)
    assert (chosen.first, chosen.seconds) == (9.0, 65.0)


def test_this_very_machine_is_not_rebooted(snapshot: SnapshotAssertion) -> None:
    here = Connection()
    here.here = True
    rebooting.refuse_here("gpu-01", [planned("command"), planned(check=True)], here)  # type: ignore[arg-type]
    rebooting.refuse_here("gpu-01", [planned()], Connection())  # type: ignore[arg-type]
    with pytest.raises(ProvisionError) as caught:
        rebooting.refuse_here("localhost", [planned()], here)  # type: ignore[arg-type]
    assert str(caught.value) == snapshot
