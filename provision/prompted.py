"""`vars_prompt`: variables of a play that the operator is asked for, once, before any host is contacted.

Owns what is asked and how; what `-e` gives is not asked for. Only a terminal is asked; without one a default serves.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.errors import ProvisionError
from provision.playbook import Play, Prompt, PromptKeywords, validate
from provision.source import Mapping as Written
from provision.source import Sequence as Listed
from provision.variables import Layer

__all__ = ["LABEL", "answered", "ask_operator", "prompts_of"]

LABEL = "vars_prompt"
Ask = Callable[[str, bool], str]
"""Asks for a line; the second argument: whether it is shown while it is typed."""


def prompts_of(item: Written) -> Iterator[Prompt]:
    """What a play asks for; raises ProvisionError with the place."""
    entries = item.get("vars_prompt") or []
    for entry, where in zip(entries, entries.marks if isinstance(entries, Listed) else [], strict=True):
        if not isinstance(entry, Written):
            raise ProvisionError("an item of `vars_prompt` is a mapping with `name`", where=where)
        words = validate(PromptKeywords, entry, LABEL)
        if not words.name.isidentifier():
            raise ProvisionError(f"`{words.name}` is no name for a variable", where=entry.value_mark("name"))
        yield Prompt(
            words.name,
            words.prompt or words.name,
            where,
            words.private,
            words.default,
            words.confirm,
            words.encrypt,
            words.salt,
            words.salt_size,
        )


def ask_operator(text: str, shown: bool) -> str:
    """Ask on the terminal."""
    if not shown:
        return getpass.getpass(text)
    print(text, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().rstrip("\n")


def answered(plays: Sequence[Play], given: Mapping[str, Any], ask: Ask | None) -> list[Play]:
    """The plays with the values that were asked for; `ask` is None where there is nobody to ask.

    Raises ProvisionError where a value is wanted that has no default, and nobody is there.
    """
    return [_of_play(play, given, ask) if play.prompts else play for play in plays]


def _of_play(play: Play, given: Mapping[str, Any], ask: Ask | None) -> Play:
    values = {prompt.name: _value(prompt, ask) for prompt in play.prompts if prompt.name not in given}
    layers = (Layer(LABEL, values) if layer.label == LABEL else layer for layer in play.variables)
    return replace(play, variables=tuple(layers))


def _value(prompt: Prompt, ask: Ask | None) -> Any:
    if ask is None:
        if prompt.default is None:
            raise ProvisionError(
                f"`{prompt.name}` is asked for, and there is no terminal to ask on",
                where=prompt.where,
                context=LABEL,
                hint=f"give it with `-e {prompt.name}=…`, or give it a `default`",
            )
        return prompt.default
    text = f"{prompt.text} [{prompt.default}]: " if prompt.default is not None else f"{prompt.text}: "
    while True:
        answer = ask(text, not prompt.private)
        if not prompt.confirm or ask(f"confirm {prompt.text}: ", not prompt.private) == answer:
            break
        text = f"the two differ, {prompt.text}: "
    if not answer:
        return prompt.default if prompt.default is not None else answer
    return _secret(_hashed(prompt, answer)) if prompt.private else _hashed(prompt, answer)


def _hashed(prompt: Prompt, answer: str) -> str:
    if not prompt.encrypt:
        return answer
    from provision.filters.passwords import password_hash

    try:
        return password_hash(answer, prompt.encrypt, prompt.salt, prompt.salt_size)
    except Exception as error:
        raise ProvisionError(
            f"`encrypt: {prompt.encrypt}` cannot be done", where=prompt.where, context=LABEL, cause=str(error)
        ) from None


def _secret(text: str) -> str:
    from provision.secret.known import secret

    return secret(text)
