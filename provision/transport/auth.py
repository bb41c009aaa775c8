"""Logging in: which keys and passwords are offered in which order, and what is said when none was taken.

Owns the order and the account of what was tried; a `Wire` (ssh.py) does the talking. Never sends a password twice to
one host, and never sends to a bastion the password that was given for a host.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any, Protocol

from provision.agent.record import record
from provision.transport import Unreachable

__all__ = [
    "Answer",
    "Ask",
    "Credentials",
    "Disconnected",
    "Key",
    "KeyLocked",
    "KeyUnusable",
    "Prompts",
    "Wire",
    "authenticate",
]

Ask = Callable[[str, bool], str | None]
"""Asks the operator: the prompt, and whether the answer may be seen; None when none was given."""
PASSPHRASES = 3
"""How often a passphrase may be typed, as with ssh."""


class KeyUnusable(Exception):
    """A key file cannot be used; the text says why."""


class KeyLocked(KeyUnusable):
    """The key file is encrypted; `fingerprint` is the key's, "" where nothing beside the file tells it."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__("encrypted, and no agent holds it", fingerprint)
        self.fingerprint = fingerprint


class Unanswered(Exception):
    """A host asks what nobody is there to answer; the text is its question."""


class Disconnected(Exception):
    """The host ended the connection while logging in."""


@record(frozen=True, slots=True)
class Answer:
    """What a host said to one try; `allowed` are the methods that can go on, `partial` that this one was right."""

    accepted: bool
    allowed: tuple[str, ...] = ()
    partial: bool = False


@record(frozen=True, slots=True)
class Key:
    """A private key that can be offered, with its fingerprint; `secret` is the library's object."""

    label: str
    fingerprint: str
    secret: Any = field(compare=False, repr=False)


class Wire(Protocol):
    """One connection that is not logged in yet. The tries raise Disconnected."""

    def try_nothing(self) -> Answer:
        """Ask to be let in just so, which mostly gives what is allowed."""

    def try_key(self, key: Key) -> Answer: ...

    def try_password(self, password: str) -> Answer: ...

    def try_interactive(self, answer: Callable[[Sequence[tuple[str, bool]]], list[str]]) -> Answer: ...

    def load_key(self, path: str, certificates: Sequence[str], passphrase: str | None = None) -> Key:
        """The key of a file, with its certificate where there is one.

        Raises KeyLocked where the file is encrypted and the passphrase is not right, KeyUnusable and
        FileNotFoundError.
        """

    def agent_keys(self) -> Sequence[Key]:
        """The agent's keys; none where there is no agent."""


class Prompts:
    """Asks the operator what hosts ask, one question at a time; what was not shown is asked once and then reused."""

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], str] = {}
        self._unlocked: dict[str, Key | None] = {}

    @property
    def can_ask(self) -> bool:
        return self._ask is not None

    def answer(self, user: str, prompt: str, seen: bool) -> str:
        """The operator's answer; one that may be seen (a code that changes) is asked for anew. Raises Unanswered."""
        if self._ask is None:
            raise Unanswered(prompt.strip())
        question = (user, re.sub(r"^\([^)]*@[^)]*\) ", "", prompt))  # sshd may put the host's name before it
        with self._lock:
            if seen or question not in self._known:
                answer = self._ask(prompt, seen)
                if answer is None:
                    raise Unanswered(prompt.strip())
                self._known[question] = answer
            return self._known[question]

    def unlocked(self, path: str, load: Callable[[str], Key]) -> Key:
        """The key of an encrypted file, whose passphrase is asked for once for all hosts; raises KeyUnusable.

        `load` takes a passphrase and raises KeyLocked when it is not the right one.
        """
        with self._lock:
            if path not in self._unlocked:
                self._unlocked[path] = self._unlock(path, load)
            key = self._unlocked[path]
        if key is None:
            raise KeyUnusable("encrypted, and its passphrase was not given")
        return key

    def _unlock(self, path: str, load: Callable[[str], Key]) -> Key | None:
        prompt = f"Passphrase of the key {path}: "
        for _ in range(PASSPHRASES):
            passphrase = self._ask(prompt, False) if self._ask else None
            if not passphrase:
                return None
            try:
                return load(passphrase)
            except KeyLocked:
                prompt = f"That is not it. Passphrase of the key {path}: "
        return None


@record(frozen=True, slots=True)
class Credentials:
    """What may be offered to one host. `defaults`: the key files are ssh's usual ones, whose absence is no news."""

    user: str
    files: tuple[str, ...]
    defaults: bool
    certificates: tuple[str, ...]
    only_files: bool
    methods: tuple[str, ...]
    password: str | None
    prompts: Prompts


def authenticate(wire: Wire, offered: Credentials, *, name: str) -> None:
    """Log in, or raise Unreachable with all that was tried."""
    account = _Account(wire, offered)
    try:
        while account.next_method():
            if account.run():
                return
        if account.allowed is None and account.nothing():
            return
    except Disconnected as error:
        account.tried.append(f"then the host ended the connection ({error})" if str(error) else "then the host hung up")
    raise _refused(name, account)


class _Account:
    """One login: what the host allows, what is left to be tried, and what was tried."""

    def __init__(self, wire: Wire, offered: Credentials) -> None:
        self.wire, self.offered = wire, offered
        self.left = [method for method in offered.methods if method != "password" or offered.password is not None]
        self.method = ""
        self.allowed: tuple[str, ...] | None = None
        self.tried: list[str] = []
        self.password_sent = False

    def next_method(self) -> bool:
        """Take the next method that the host allows, as far as that is known."""
        for method in self.left:
            if self.allowed is None or method in self.allowed:
                self.method = method
                self.left.remove(method)
                return True
        return False

    def run(self) -> bool:
        return {"publickey": self._keys, "password": self._password, "keyboard-interactive": self._interactive}[
            self.method
        ]()

    def nothing(self) -> bool:
        """Learn what the host allows, where nothing could be offered."""
        answer = self.wire.try_nothing()
        self.allowed = answer.allowed
        return answer.accepted

    def _keys(self) -> bool:
        for key in self._candidates():
            answer = self.wire.try_key(key)
            if self._took(answer, f"{key.label} ({key.fingerprint})"):
                return answer.accepted
            if "publickey" not in answer.allowed:
                return False
        return False

    def _candidates(self) -> Iterator[Key]:
        """Key files first, then the agent's keys; an encrypted file stands for its key in the agent.

        Passphrases are asked for last, when nothing that needs none was taken.
        """
        seen: set[str] = set()
        held: set[str] = set()
        locked: dict[str, str] = {}
        for path in self.offered.files:
            try:
                key = self.wire.load_key(path, self.offered.certificates)
            except FileNotFoundError:
                if not self.offered.defaults:
                    self.tried.append(f"key {path}: no such file")
            except KeyLocked as error:
                locked[path] = error.fingerprint
            except KeyUnusable as error:
                held.add(str(error.args[1]) if len(error.args) > 1 else "")
                self.tried.append(f"key {path}: {error.args[0]}")
            else:
                seen.add(key.fingerprint)
                yield key
        held |= set(locked.values())
        for key in self.wire.agent_keys():
            if key.fingerprint not in seen and (not self.offered.only_files or key.fingerprint in held):
                seen.add(key.fingerprint)
                yield key
        yield from self._unlocked([path for path, fingerprint in locked.items() if fingerprint not in seen])

    def _unlocked(self, paths: Sequence[str]) -> Iterator[Key]:
        """The keys of encrypted files; where a password was given, nobody is asked about ssh's usual ones as well."""
        asks = self.offered.prompts.can_ask and not (self.offered.defaults and self.offered.password is not None)
        for path in paths:
            try:
                if not asks:
                    raise KeyLocked("")
                yield self.offered.prompts.unlocked(path, functools.partial(self._load, path))
            except KeyUnusable as error:
                self.tried.append(f"key {path}: {error.args[0]}")

    def _load(self, path: str, passphrase: str) -> Key:
        return self.wire.load_key(path, self.offered.certificates, passphrase)

    def _password(self) -> bool:
        if self.offered.password is None or self.password_sent:
            return False
        answer = self.wire.try_password(self.offered.password)
        if answer.accepted or answer.partial or "password" in answer.allowed:
            self.password_sent = True
            return self._took(answer, "the password") and answer.accepted
        self.allowed = answer.allowed  # the host does not take passwords this way, so it was not looked at
        return False

    def _interactive(self) -> bool:
        if self.password_sent and not self.offered.prompts.can_ask:
            return False
        if self.offered.password is None and not self.offered.prompts.can_ask:
            return False
        problem: list[str] = []
        answer = self.wire.try_interactive(lambda prompts: self._answers(prompts, problem))
        if problem:
            self.allowed = answer.allowed
            self.tried.append(f"keyboard-interactive: {problem[0]}")
            return False
        what = "the password, keyboard-interactive" if self.offered.password is not None else "keyboard-interactive"
        return self._took(answer, what) and answer.accepted

    def _answers(self, prompts: Sequence[tuple[str, bool]], problem: list[str]) -> list[str]:
        """The password for the first hidden prompt, the operator for all others."""
        answers = []
        for prompt, seen in prompts:
            if not seen and self.offered.password is not None and not self.password_sent:
                self.password_sent = True
                answers.append(self.offered.password)
                continue
            try:
                answers.append(self.offered.prompts.answer(self.offered.user, prompt, seen))
            except Unanswered as question:
                problem.append(f"the host asks `{question}`, and nobody is there to answer")
                answers.append("")
        return answers

    def _took(self, answer: Answer, what: str) -> bool:
        """Note an answer; True when that method is done: accepted, or right and more is wanted."""
        self.allowed = answer.allowed
        if answer.accepted:
            return True
        self.tried.append(f"{what}: {'right, and more is asked for' if answer.partial else 'not accepted'}")
        return answer.partial


def _refused(name: str, account: _Account) -> Unreachable:
    offered = account.offered
    allowed = f"the host takes {', '.join(account.allowed)}" if account.allowed else "nothing was left to offer"
    tried = account.tried or ["nothing: no usable key file, no key in an agent, and no password"]
    return Unreachable(
        "authentication",
        f"cannot log in to {name} as `{offered.user}`",
        cause="\n".join([f"{allowed}; tried:", *(f"- {line}" for line in tried)]),
        hint=_hint(account),
    )


def _hint(account: _Account) -> str:
    said = " ".join(account.tried)
    if "ended the connection" in said or "hung up" in said:
        return (
            "too many keys may have been tried: name the right one with `ansible_ssh_private_key_file`,\n"
            "and keep the agent's out with `IdentitiesOnly yes` in ssh_config"
        )
    if "encrypted" in said:
        return "add the key to an agent (ssh-add FILE), or run on a terminal, where its passphrase is asked for once"
    allowed = account.allowed or ()
    if account.offered.password is None and {"password", "keyboard-interactive"} & set(allowed):
        return "name the key with `ansible_ssh_private_key_file`, or give the password with `-k`"
    return "check the user (`ansible_user`) and the key (`ansible_ssh_private_key_file`)"
