"""Pure parts of connecting: shared bastions, and what a failed start means."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.transport.bastion import Shared
from provision.transport.launch_errors import Ended, explain, wants_terminal


class Thing:
    def __init__(self) -> None:
        self.alive = True

    def close(self) -> None:
        self.alive = False


def test_one_is_made_however_many_ask() -> None:
    shared: Shared[Thing] = Shared()
    made: list[Thing] = []

    def make() -> Thing:
        time.sleep(0.05)
        made.append(Thing())
        return made[-1]

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: shared.get("bastion", make, 5), range(16)))) == 1
    assert len(made) == 1
    made[0].close()
    assert shared.get("bastion", make, 5) is not made[0]
    shared.close()
    assert not made[1].alive


def test_a_failure_is_shared_by_those_who_waited_and_then_forgotten() -> None:
    shared: Shared[Thing] = Shared()
    tries = []
    gate = threading.Barrier(4)

    def make() -> Thing:
        tries.append(1)
        time.sleep(0.1)
        raise OSError("no")

    def ask(_: int) -> str:
        gate.wait()
        with pytest.raises(OSError, match="no"):
            shared.get("bastion", make, 5)
        return "failed"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == ["failed"] * 4
    assert len(tries) == 1
    assert shared.get("bastion", Thing, 5).alive


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("sudo: sorry, you must have a tty to run sudo", True),
        ("sudo: you must have a terminal to run sudo", True),
        ("sudo: a password is required", False),
        ("sudo: no tty present and no askpass program specified", False),
    ],
)
def test_when_a_terminal_is_wanted(said: str, wanted: bool) -> None:
    assert wants_terminal(said) is wanted


ENDS = {
    "password wanted": Ended(1, "sudo: a password is required", sudo=True),
    "old sudo without askpass": Ended(1, "sudo: no tty present and no askpass program specified", sudo=True),
    "more than a password": Ended(1, "sudo: a password is required", sudo=True, asked=True),
    "second prompt": Ended(1, "", sudo=True, asked=True, again=True),
    "said sorry": Ended(1, "Sorry, try again.\nsudo: 1 incorrect password attempt", sudo=True, asked=True),
    "not allowed": Ended(1, "Sorry, user ada is not allowed to execute '/bin/x' as root on gpu-01.", sudo=True),
    "terminal refused": Ended(1, "sudo: sorry, you must have a tty to run sudo", sudo=True),
    "no sudo": Ended(127, "env: 'sudo': No such file or directory", sudo=True),
    "no python": Ended(127, "bash: line 1: exec: python3: not found", sudo=False),
    "no python, fish": Ended(1, "fish: Unknown command: python3\npython3: command not found", sudo=False),
    "python 2": Ended(2, "Unknown option: -I\nusage: python [option]", sudo=False),
    "not executable": Ended(126, "bash: line 1: /opt/python: Permission denied", sudo=False),
    "unknown": Ended(1, "\n".join(f"line {number}" for number in range(9)), sudo=False),
    "silent": Ended(None, "", sudo=False),
}


@pytest.mark.parametrize("name", ENDS)
def test_why_a_start_failed(name: str, snapshot: SnapshotAssertion) -> None:
    error = explain(ENDS[name], "gpu-01", "python3", "ada")
    assert f"[{error.kind}]\n{error}" == snapshot
