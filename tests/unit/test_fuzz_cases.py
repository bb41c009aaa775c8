"""Inputs that fuzzers found, or that are known to be hard: each has a value or is refused by name, within a second."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "fuzz"))
from targets import TARGETS  # noqa: E402

CASES = sorted(path for folder in ("tests/unit/fuzz_cases", "fuzz/corpus") for path in PROJECT.glob(f"{folder}/*/*"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_is_taken_or_refused(path: Path) -> None:
    begun = time.process_time()
    TARGETS[path.parent.name](path.read_bytes())
    assert time.process_time() - begun < 1
