"""Each test begins with no secret known and no password given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.secret import known
from provision.secret.keyring import KEYS, VARIABLES

sys.path.append(str(Path(__file__).parents[1] / "language"))  # for `driven`


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*VARIABLES, "PROVISION_AGE_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    before = known.KNOWN._texts, known.KNOWN._parts
    known.KNOWN._texts, known.KNOWN._parts = set(), ()
    KEYS._opened.clear()
    KEYS.say(())
    yield
    KEYS.say(())
    known.KNOWN._texts, known.KNOWN._parts = before
