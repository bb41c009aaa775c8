"""Hosts without Python: what they answer, and what is said and run."""

from __future__ import annotations

import shlex

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.onboarding.bare import Bare, bootstrap, missing, parse

ONE_TRY = 'IFS= read -r word; printf "%s\\n" "$word" | sudo -S -p "" -- /bin/sh -c "$1"'


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            "Welcome\nprovision-bare:uid=0\nprovision-bare:python=1\nprovision-bare:manager=apt-get\n",
            Bare(True, "there", "apt-get"),
        ),
        ("provision-bare:uid=1000\nprovision-bare:python=0\nprovision-bare:manager=dnf\n", Bare(False, "old", "dnf")),
        ("provision-bare:uid=0\nprovision-bare:manager=apk\n", Bare(True, "missing", "apk")),
        ("provision-bare:uid=0\nprovision-bare:manager=rm -rf /\n", Bare(True, "missing", "")),
        ("", Bare(False, "missing", "")),
    ],
)
def test_answers(said: str, wanted: Bare) -> None:
    assert parse(said) == wanted


@pytest.mark.parametrize(
    ("answers", "password", "beginning"),
    [
        (Bare(True, "missing", "apt-get"), False, ["/bin/sh", "-c"]),
        (Bare(False, "missing", "apt-get"), False, ["sudo", "-n", "--", "/bin/sh", "-c"]),
        (Bare(False, "missing", "apk"), True, ["/bin/sh", "-c", ONE_TRY, "sh"]),
    ],
)
def test_the_command_is_one_of_root(answers: Bare, password: bool, beginning: list[str]) -> None:
    words = shlex.split(bootstrap(answers, password=password))
    assert words[:-1] == beginning
    # the password must not be read by the package manager where sudo does not ask for it
    assert words[-1].endswith("</dev/null")


@pytest.mark.parametrize(
    "answers",
    [
        Bare(True, "missing", "apt-get"),
        Bare(False, "missing", "dnf"),
        Bare(True, "missing", "apk"),
        Bare(False, "missing", ""),
        Bare(True, "old", "dnf"),
    ],
    ids=["root apt", "user dnf", "root apk", "no manager", "old"],
)
def test_what_is_said_of_it(answers: Bare, snapshot: SnapshotAssertion) -> None:
    assert str(missing("gpu-09", "python3", answers, "provision onboard gpu-09")) == snapshot
