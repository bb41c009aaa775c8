"""The text of an app's systemd unit, written and read; pure.

What provision must know of a unit later (port, health check, environment) stands in the unit itself, in a section
that systemd leaves alone, so that a remembered unit can be put back and judged by its text alone.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple, Union

from .record import record

__all__ = ["MADE_BY", "SETTLE", "UnitPlan", "digest_of", "facts_of", "quote", "render", "with_digest", "without_facts"]

SETTLE = 15.0
"""Seconds of life after which an app that serves is believed to stay up, where its unit does not say."""
MADE_BY = "# Made by provision; the next apply overwrites changes."
_DIGEST = "PROVISION_DIGEST"
_SECTION = "[X-Provision]"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}


@record(frozen=True)
class UnitPlan:
    """What a unit's text says. `variables` are exported to the app, `facts` are notes for provision itself.

    `confinement` are directives of hardening.py.
    """

    name: str
    command: Sequence[str]
    directory: str
    user: str
    variables: Dict[str, str]
    unset: Sequence[str] = ()
    secrets_file: Optional[str] = None
    mounts: Sequence[str] = ()
    confinement: Sequence[str] = ()
    facts: Sequence[Tuple[str, str]] = ()


def render(plan: UnitPlan) -> str:
    """The unit's text without a digest; equal plans give equal text."""
    sections = [
        [MADE_BY, "[Unit]", "Description=%s (provision app)" % _plain(plan.name)],
        ["Wants=network-online.target", "After=network-online.target"],
        ["RequiresMountsFor=" + " ".join(quote(path) for path in plan.mounts)] if plan.mounts else [],
        ["StartLimitIntervalSec=0", "", "[Service]", "Type=exec"],
        ["User=" + _plain(plan.user), "WorkingDirectory=" + _plain(plan.directory)],
        ["Environment=" + quote("%s=%s" % pair) for pair in sorted(plan.variables.items())],
        ["UnsetEnvironment=" + " ".join(sorted(plan.unset))] if plan.unset else [],
        ["EnvironmentFile=" + _plain(plan.secrets_file)] if plan.secrets_file else [],
        ["ExecStart=" + " ".join(quote(word, command=True) for word in plan.command)],
        ["Restart=always", "RestartSec=2", "KillMode=mixed", "TimeoutStopSec=30", "LimitMEMLOCK=infinity"],
        list(plan.confinement),
        ["StandardOutput=journal", "StandardError=journal", "", "[Install]", "WantedBy=multi-user.target", ""],
        [_SECTION, *("%s=%s" % (key, _one_line(value)) for key, value in plan.facts)],
    ]
    return "\n".join(line for section in sections for line in section) + "\n"


def with_digest(text: str, digest: str) -> str:
    """The text of a unit whose process carries a digest in its environment."""
    return text.replace("\nExecStart=", "\nEnvironment=%s=%s\nExecStart=" % (_DIGEST, digest), 1)


def digest_of(text: str) -> Optional[str]:
    """The digest that a unit's process will carry, or None."""
    head = "\nEnvironment=%s=" % _DIGEST
    _, found, rest = text.partition(head)
    return rest.partition("\n")[0] if found else None


def facts_of(text: str) -> Dict[str, str]:
    """The notes in a unit's text, empty for a unit that is not ours."""
    _, _, section = text.partition("\n%s\n" % _SECTION)
    pairs = (line.partition("=") for line in section.splitlines() if "=" in line)
    return {key: value for key, _, value in pairs}


def without_facts(text: str) -> str:
    """The part of a unit's text that changes how its process runs."""
    return text.partition("\n%s\n" % _SECTION)[0]


def quote(word: str, command: bool = False) -> str:
    """One word of a unit's list of words, by the rules of systemd.syntax(7); in commands `$` stands for itself too."""
    escaped = "".join(_ESCAPES.get(character, character) for character in word)
    if command:
        escaped = escaped.replace("$", "$$")
    plain = all(character.isalnum() or character in "/._-+=:,@%$" for character in escaped)
    return escaped if plain and escaped and not (command and escaped == ";") else '"%s"' % escaped


def _plain(value: Optional[str]) -> str:
    return _one_line(value or "").replace("%", "%%")


def _one_line(value: Union[str, int, float]) -> str:
    return " ".join(str(value).splitlines())
