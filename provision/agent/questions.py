"""Which module answers what the steps of a batch ask together; must not know any resource."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from .system import System

__all__ = ["KINDS", "answer"]

KINDS = {"hold": "package_holds", "package": "packages", "port": "ports", "unit": "units"}
"""Kind of question to the module whose `answer(system, subjects)` gives a value for each subject."""


def answer(system: System, questions: Sequence[Tuple[str, str]]) -> None:
    """Put the answers of all questions into `system.answers`, with one call for each kind.

    A kind that cannot be answered is left out: the step that needs it asks again and says what is wrong.
    """
    from importlib import import_module

    from .resource import Refusal

    asked: Dict[str, List[str]] = {}
    for kind, subject in questions:
        if subject not in asked.setdefault(kind, []):
            asked[kind].append(subject)
    for kind, subjects in asked.items():
        module: Any = import_module("." + KINDS[kind], __package__)
        try:
            answers = module.answer(system, subjects)
        except Refusal:
            continue
        system.answers.update({(kind, subject): value for subject, value in answers.items()})
