"""What an operator reads when an environment cannot be installed, set to serve, or rolled back on a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent.resource import Refusal
from provision.agent.resources import conda_base, conda_env, conda_flip, conda_rollback
from provision.errors import ProvisionError

LOCK, OTHER = "a" * 64, "b" * 64
CUDA = {"driver": "450.80.02", "cuda": "11.8", "toolkit_driver": "520.61.05", "glibc": "2.28"}
GENERATION = "/opt/conda/envs/.generations/img2video/aaaaaaaaaaaa-1"


def facts(driver: str | None = "535.104.05", glibc: str = "2.36") -> dict[str, Any]:
    return {"gpu": {"driver": driver}, "glibc": glibc}


def env(there: str = "nothing", spec: dict[str, Any] | None = None, **state: Any) -> Callable[[], Any]:
    blobs = {"listing_blob": "l", "conda_blob": "c", "rattler_blob": "r"}
    wanted = conda_env.Spec(**{"name": "img2video", "lock": LOCK, "floor": CUDA, **blobs, **(spec or {})})
    seen = conda_env.State(there=there, **{"facts": facts(), "expected": GENERATION, **state})
    return lambda: conda_env.decide(wanted, seen)


def flip(**state: Any) -> Callable[[], Any]:
    seen = conda_flip.State(**{"serves": "", "wanted": "", **state})
    return lambda: conda_flip.decide(conda_flip.Spec(name="img2video", lock=LOCK), seen)


def rollback(serves: str) -> Callable[[], Any]:
    seen = conda_rollback.State(serves=serves, left=LOCK, previous="")
    return lambda: conda_rollback.decide(conda_rollback.Spec(name="img2video"), seen)


def no_installer() -> Any:
    why = "the installer `rattler` does not run on Python 3.11, riscv64"
    seen = conda_env.State("nothing", expected=GENERATION, passed=["`/opt/conda/bin/conda` does not run: killed"])
    wanted = conda_env.Spec(name="img2video", lock=LOCK, listing_blob="l", conda_blob="c", rattler_lacks=why)
    return conda_env.decide(wanted, seen)


def base(programs: str) -> Callable[[], Any]:
    wanted = conda_base.Spec(environment="conda-base")
    return lambda: conda_base.decide(wanted, conda_base.State([], programs))


LONG = {"expected": "/opt/conda/envs/.generations/" + "long-" * 20 + "/aaaaaaaaaaaa-1"}


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(env(facts=facts("440.118.02")), id="driver-too-old"),
        pytest.param(env(facts=facts(None)), id="no-driver"),
        pytest.param(env(facts=facts(glibc="2.17")), id="glibc-too-old"),
        pytest.param(env(facts={**facts(), "architecture": "aarch64"}), id="another-architecture"),
        pytest.param(env(there="other"), id="something-else-there"),
        pytest.param(env("directory", stray=["missing: numpy 1.26.4 py311_0"]), id="another-directory"),
        pytest.param(env("generation", held=True, current=OTHER, built=GENERATION), id="held"),
        pytest.param(
            env(
                "generation",
                spec={"only_newer": True, "locked": "2026-01-01T00:00:00Z"},
                current=OTHER,
                locked="2026-02-01T00:00:00Z",
            ),
            id="older-than-what-serves",
        ),
        pytest.param(env(**LONG), id="path-too-long"),
        pytest.param(env("directory", spec={"state": "absent"}), id="absent-of-a-directory"),
        pytest.param(flip(), id="flip-to-nothing"),
        pytest.param(flip(wanted=GENERATION, directory=True), id="flip-over-a-directory"),
        pytest.param(no_installer, id="nothing-installs"),
        pytest.param(base("/"), id="another-base"),
        pytest.param(rollback(""), id="rollback-of-no-generation"),
        pytest.param(rollback(GENERATION), id="rollback-to-nothing"),
    ],
)
def test_refusal(refuse: Callable[[], Any], snapshot: SnapshotAssertion) -> None:
    with pytest.raises(Refusal) as caught:
        refuse()
    told = caught.value
    assert str(ProvisionError(told.summary, cause=told.cause, hint=told.hint)) == snapshot
