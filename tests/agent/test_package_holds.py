"""Holds of packages: what dpkg-query shows, what apt-mark is told, and what is said when either fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from provision.agent import package_holds
from provision.agent.resource import Refusal
from provision.agent.spawn import Completed
from provision.agent.system import System


class Said(System):
    """A host on which every command says the same; None: there is no such program."""

    def __init__(self, said: str | None, returncode: int = 0) -> None:
        super().__init__(blob=str)
        self.said, self.returncode, self.ran = said, returncode, [""]

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.ran = [*argv]
        if self.said is None:
            raise FileNotFoundError(argv[0])
        return Completed(tuple(argv), self.returncode, self.said, "" if not self.returncode else "E: no")


def test_only_what_is_to_be_held_is_held() -> None:
    host = Said("git\tinstall\ncurl\thold\nnano\tdeinstall\n")
    assert package_holds.answer(host, ["git", "curl", "nano", "other"]) == {
        "git": False,
        "curl": True,
        "nano": False,
        "other": False,
    }
    host.answers["hold", "git"] = True
    assert package_holds.held(host, ["git", "curl"]) == ["git", "curl"]
    assert host.ran[-1] == "curl"


def test_what_fails_is_told() -> None:
    with pytest.raises(Refusal, match="packages cannot be held on this host") as refusal:
        package_holds.answer(Said(None), ["git"])
    assert "there is no `dpkg-query`" in refusal.value.cause
    host = Said("", returncode=100)
    with pytest.raises(Refusal, match="`apt-mark hold` failed") as refusal:
        package_holds.mark(host, "hold", ["git"], lambda **_: None)
    assert (refusal.value.cause, host.ran) == ("E: no", ["apt-mark", "hold", "--", "git"])
