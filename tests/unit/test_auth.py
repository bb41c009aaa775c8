"""The order in which keys and passwords are offered, and what is said when none was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from provision.transport import Unreachable
from provision.transport.auth import (
    Answer,
    Credentials,
    Disconnected,
    Key,
    KeyLocked,
    Prompts,
    authenticate,
)

Prompt = Sequence[tuple[str, bool]]
ALL = ("publickey", "password", "keyboard-interactive")


class Host:
    """A host that takes some keys and passwords, and writes down what it was offered."""

    def __init__(self, takes: Sequence[str], allowed: Sequence[str] = ALL, agent: Sequence[str] = ()) -> None:
        self.takes, self.allowed, self.agent = takes, tuple(allowed), agent
        self.offered: list[str] = []
        self.prompts: Prompt = (("Password: ", False),)

    def _answer(self, method: str, what: str) -> Answer:
        if method not in self.allowed:
            return Answer(False, self.allowed)
        self.offered.append(what)
        return Answer(what in self.takes, self.allowed)

    def try_nothing(self) -> Answer:
        return Answer(False, self.allowed)

    def try_key(self, key: Key) -> Answer:
        return self._answer("publickey", key.fingerprint)

    def try_password(self, password: str) -> Answer:
        return self._answer("password", password)

    def try_interactive(self, answer: Callable[[Prompt], list[str]]) -> Answer:
        return self._answer("keyboard-interactive", "+".join(answer(self.prompts)))

    def load_key(self, path: str, certificates: Sequence[str], passphrase: str | None = None) -> Key:
        if path.startswith("absent"):
            raise FileNotFoundError(path)
        if path.startswith("locked") and passphrase != "sesame":
            raise KeyLocked(path.replace("locked", "agent"))
        return Key(f"key {path}", path, None)

    def agent_keys(self) -> Sequence[Key]:
        return [Key(f"agent key {name}", name, None) for name in self.agent]


def offer(files: Sequence[str] = (), password: str | None = None, prompts: Prompts | None = None) -> Credentials:
    return Credentials("ada", tuple(files), False, (), False, ALL, password, prompts or Prompts(None))


def refused(host: Host, offered: Credentials) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        authenticate(host, offered, name="gpu-01")
    return caught.value


def test_files_then_agent_then_password() -> None:
    host = Host(["secret"], agent=["a1", "f1"])
    authenticate(host, offer(["f1", "absent", "f2"], "secret"), name="gpu-01")
    assert host.offered == ["f1", "f2", "a1", "secret"]


def test_only_files_and_what_an_encrypted_one_stands_for() -> None:
    host = Host([], agent=["agent1", "other"])
    refused(host, replace(offer(["locked1"]), only_files=True))
    assert host.offered == ["agent1"]


def test_the_first_that_is_taken_ends_it() -> None:
    host = Host(["f1"], agent=["a1"])
    authenticate(host, offer(["f1", "f2"], "secret"), name="gpu-01")
    assert host.offered == ["f1"]


def test_a_password_is_sent_once_whatever_the_host_allows() -> None:
    host = Host([])
    refused(host, offer(password="wrong"))
    assert host.offered == ["wrong"]


def test_interactive_where_plain_passwords_are_not_allowed() -> None:
    host = Host(["secret"], allowed=["keyboard-interactive"])
    authenticate(host, offer(password="secret"), name="gpu-01")
    assert host.offered == ["secret"]


def test_what_nobody_can_answer_is_named() -> None:
    host = Host([], allowed=["keyboard-interactive"])
    host.prompts = (("Password: ", False), ("Code: ", True))
    error = refused(host, offer(password="secret"))
    assert "the host asks `Code:`, and nobody is there to answer" in error.cause
    assert "secret" not in str(error)


def test_hidden_answers_are_kept_for_all_hosts_and_codes_are_not() -> None:
    asked: list[str] = []

    def ask(prompt: str, seen: bool) -> str:
        asked.append(prompt)
        return f"answer{len(asked)}"

    prompts = Prompts(ask)
    for name in ("gpu-01", "gpu-02"):
        host = Host([], allowed=["keyboard-interactive"])
        host.prompts = ((f"(ada@{name}) Password: ", False), ("Code: ", True))
        refused(host, offer(prompts=prompts))
    assert asked == ["(ada@gpu-01) Password: ", "Code: ", "Code: "]


def test_nothing_is_offered_that_the_host_does_not_allow() -> None:
    host = Host([], allowed=["publickey"])
    error = refused(host, offer(["f1"], "secret"))
    assert host.offered == ["f1"]
    assert "the host takes publickey" in error.cause


def test_a_host_that_hangs_up_in_between() -> None:
    class Impatient(Host):
        def try_key(self, key: Key) -> Answer:
            raise Disconnected("Too many authentication failures")

    error = refused(Impatient([]), offer(["f1"]))
    assert "Too many authentication failures" in error.cause
    assert "IdentitiesOnly" in error.hint


class Operator:
    """Types these passphrases, one after another, then nothing."""

    def __init__(self, *types: str) -> None:
        self.types = list(types)
        self.asked: list[str] = []

    def __call__(self, prompt: str, seen: bool) -> str | None:
        assert not seen
        self.asked.append(prompt)
        return self.types.pop(0) if self.types else None


def test_a_passphrase_is_asked_once_for_all_hosts_and_after_all_that_needs_none() -> None:
    operator = Operator("sesame")
    prompts = Prompts(operator)
    for _ in range(2):
        host = Host(["locked1"], agent=["a1"])
        authenticate(host, offer(["locked1", "f1"], prompts=prompts), name="gpu-01")
        assert host.offered == ["f1", "a1", "locked1"]
    assert operator.asked == ["Passphrase of the key locked1: "]


def test_nobody_is_asked_for_the_passphrase_of_a_key_that_an_agent_holds() -> None:
    operator = Operator("sesame")
    host = Host([], agent=["agent1"], allowed=["publickey"])
    refused(host, offer(["locked1"], prompts=Prompts(operator)))
    assert host.offered == ["agent1"]
    assert operator.asked == []


def test_a_wrong_passphrase_may_be_typed_again_and_is_given_up_for_all_hosts() -> None:
    operator = Operator("one", "two", "three", "sesame")
    prompts = Prompts(operator)
    for _ in range(2):
        error = refused(Host(["locked1"], allowed=["publickey"]), offer(["locked1"], prompts=prompts))
        assert "key locked1: encrypted, and its passphrase was not given" in error.cause
    again = "That is not it. Passphrase of the key locked1: "
    assert [prompt for prompt in operator.asked if "key" in prompt] == ["Passphrase of the key locked1: ", again, again]


def test_an_empty_answer_leaves_the_key_out() -> None:
    operator = Operator("", "sesame")
    host = Host(["secret"])
    authenticate(host, offer(["locked1"], "secret", Prompts(operator)), name="gpu-01")
    assert host.offered == ["secret"]
    assert len(operator.asked) == 1


def test_beside_a_password_the_usual_keys_are_not_asked_about() -> None:
    operator = Operator("sesame")
    host = Host(["secret"])
    usual = replace(offer(["locked1"], "secret", Prompts(operator)), defaults=True)
    authenticate(host, usual, name="gpu-01")
    assert operator.asked == []


def test_a_locked_key_where_nobody_can_be_asked_says_what_to_do() -> None:
    error = refused(Host([], allowed=["publickey"]), offer(["locked1"]))
    assert "key locked1: encrypted, and no agent holds it" in error.cause
    assert "ssh-add" in error.hint


def test_a_question_that_is_not_answered_is_named() -> None:
    host = Host([], allowed=["keyboard-interactive"])
    error = refused(host, offer(prompts=Prompts(Operator())))
    assert "the host asks `Password:`, and nobody is there to answer" in error.cause
