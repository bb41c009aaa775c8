"""Which variant of an environment a host gets, and what is said where none or several fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.conda.fit import unfit_device
from provision.errors import ProvisionError
from provision.variants import Variant, choose, read

STACKS = {"old.yml": ("2.0.1", "11.8"), "new.yml": ("2.9.0", "12.8"), "arm.yml": ("2.9.0", "12.8"), "cpu.yml": ("", "")}
WRITTEN: list[dict[str, Any]] = [
    {"file": "old.yml", "when_gpu": {"compute_capability": "<10.0"}},
    {"file": "new.yml", "when_gpu": {"compute_capability": ">=10.0", "driver": ">=570"}},
    {"file": "arm.yml", "platform": "linux-aarch64", "when_gpu": {"kind": ["GH200", "GB200"]}},
    {"file": "cpu.yml"},
]
KINDS = {"A100": "8.0", "H100": "9.0", "B200": "10.0", "V100": "7.0", "K80": "3.7", "GH200": "9.0", "RTX 5090": "12.0"}


def host(*names: str, driver: str = "570.26", machine: str = "x86_64") -> dict[str, Any]:
    devices = [
        {"index": index, "name": f"NVIDIA {name}", "memory_mb": 81920, "compute_capability": KINDS[name]}
        for index, name in enumerate(names)
    ]
    return {"architecture": machine, "gpu": {"driver": driver, "cuda": "12.8", "devices": devices}}


def unfit(variant: Variant, device: Mapping[str, Any]) -> str:
    return unfit_device(STACKS[variant.file], device)


def chosen(facts: Mapping[str, Any], written: list[dict[str, Any]] = WRITTEN) -> str:
    return choose("tool", read(written, None), facts, unfit).file


@pytest.mark.parametrize(
    ("facts", "file"),
    [
        (host("A100", "A100"), "old.yml"),
        (host("A100", "H100"), "old.yml"),
        (host("B200"), "new.yml"),
        (host("RTX 5090"), "new.yml"),
        (host(), "cpu.yml"),
        ({"architecture": "x86_64"}, "cpu.yml"),
        (host("GH200", machine="aarch64"), "arm.yml"),
    ],
)
def test_each_host_gets_its_own(facts: dict[str, Any], file: str) -> None:
    assert chosen(facts) == file


def test_gpus_of_several_kinds_get_what_runs_on_all() -> None:
    assert chosen(host("A100", "B200")) == "new.yml"
    assert chosen(host("V100", "B200", "RTX 5090")) == "new.yml"


def test_a_range_and_names_and_memory_are_conditions() -> None:
    written = [{"file": "old.yml", "when_gpu": {"kind": "a100", "memory_mb": ">=40000", "cuda": ">=12.0,<13.0"}}]
    assert chosen(host("A100"), written) == "old.yml"
    with pytest.raises(ProvisionError, match="no variant"):
        chosen(host("H100"), written)


@pytest.mark.parametrize(
    "facts",
    [
        host("K80", "B200"),
        host("A100", machine="aarch64"),
        host("B200", machine="ppc64le"),
        host("B200", driver="560.28.03"),
    ],
    ids=["nothing runs on both", "another architecture", "no platform", "an old driver"],
)
def test_a_host_that_none_fits_is_refused_with_numbers(facts: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        chosen(facts)
    assert str(caught.value) == snapshot


OTHERS: dict[str, list[dict[str, Any]]] = {
    "two fit": [
        {"file": "old.yml", "when_gpu": {"kind": "A100"}},
        {"file": "new.yml", "when_gpu": {"driver": ">=450"}},
    ],
    "two without a condition": [{"file": "old.yml"}, {"file": "new.yml"}],
    "said to fit and does not run": [{"file": "old.yml", "when_gpu": {"compute_capability": ">=8.0"}}],
    "none for these GPUs": [{"file": "old.yml", "when_gpu": {"compute_capability": ">=10.0"}}],
    "both run on all": [
        {"file": "new.yml", "when_gpu": {"kind": "A100"}},
        {"file": "cpu.yml", "when_gpu": {"kind": "B200"}},
    ],
}
FACTS = {"said to fit and does not run": host("B200"), "both run on all": host("A100", "B200")}


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_choose_one_is_refused(name: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        chosen(FACTS.get(name, host("A100")), OTHERS[name])
    assert str(caught.value) == snapshot


BAD = {
    "no list": {"file": "old.yml"},
    "no file": [{"when_gpu": {"kind": "A100"}}],
    "unknown key": [{"file": "old.yml", "when": {"kind": "A100"}}],
    "unknown condition": [{"file": "old.yml", "when_gpu": {"compute_capabilty": ">=8.0"}}],
    "a number": [{"file": "old.yml", "when_gpu": {"compute_capability": 9.0}}],
    "no range": [{"file": "old.yml", "when_gpu": {"driver": "new"}}],
    "a platform": [{"file": "old.yml", "platform": "win-64"}],
    "an empty condition": [{"file": "old.yml", "when_gpu": {}}],
    "one file of two platforms": [{"file": "old.yml"}, {"file": "old.yml", "platform": "linux-aarch64"}],
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_variant_is_named(name: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        read(BAD[name], None, 'task "Environment tool"')
    assert str(caught.value) == snapshot
