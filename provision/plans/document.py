"""A saved plan as data and as a file: one line that says what it is, then JSON that people can read.

Owns the form, its version and its seal. Must not know how a plan is made or kept to. A plan holds no secret: what is
secret is there as a hash under the plan's key, and the key is not in the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.plans import WORD, keys
from provision.whole_file import write_whole

__all__ = ["VERSION", "HostPlan", "Plan", "Planned", "keyed", "read", "write"]

VERSION = 1
_MOST = 1 << 30
_AGAIN = "make it again with `provision plan PLAYBOOK -o FILE`"


@record(frozen=True, slots=True)
class Planned:
    """One step of one host. `spec` is the key of its rendered spec among the plan's `specs`. `title` is for people and
    shows no secret; `name` is the hash of the whole title, by which a step is known again.

    `actions` are what it would do, as they are shown; `foretold`: they rest on what earlier steps would change.
    `unknown` says why only apply can tell what it does, "" where it is told.
    """

    play: int
    title: str
    where: str
    resource: str = ""
    spec: str = ""
    status: str = "ok"
    handler: bool = False
    foretold: bool = False
    checked: bool = True
    actions: tuple[dict[str, Any], ...] = ()
    unknown: str = ""
    notifies: tuple[str, ...] = ()
    name: str = ""

    @property
    def place(self) -> tuple[int, str]:
        """Where the step's task stands: what is unknown is so for all of its task."""
        return self.play, self.where


@record(frozen=True, slots=True)
class HostPlan:
    """One host's part. `incomplete` says why the plan does not cover it, "" where it does."""

    steps: tuple[Planned, ...] = ()
    incomplete: str = ""


@record(frozen=True, slots=True)
class Plan:
    """A plan. `selection` is what the command line chose; `inputs` are files with their SHA-256."""

    id: str
    made: str
    by: str
    selection: Mapping[str, Any]
    inputs: Mapping[str, str]
    specs: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, HostPlan] = field(default_factory=dict)

    def unknown(self) -> dict[tuple[str, str, str], list[str]]:
        """What only apply can tell, as (task, place, why), with the hosts that it is so on."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for host, part in self.hosts.items():
            for step in part.steps:
                if step.unknown:
                    hosts = found.setdefault((step.title, step.where, step.unknown), [])
                    hosts += [host] if host not in hosts else []
        return found


def keyed(value: Any, key: str) -> str:
    """The hash of a value under a plan's key."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, key=key.encode()[:64], digest_size=16).hexdigest()


def write(path: Path, plan: Plan, key: str) -> None:
    """Write a plan whole, for nobody else to read; raises ProvisionError where that is not possible."""
    body = json.dumps(_plain(plan), ensure_ascii=False, indent=1) + "\n"
    try:
        write_whole(path, f"{WORD} {VERSION} {plan.id} {_seal(body, key)}\n{body}", mode=0o600)
    except OSError as error:
        raise ProvisionError(
            f"cannot write the plan `{path}`", cause=error.strerror or str(error), hint="choose another place"
        ) from None


def read(path: Path, folders: tuple[Path, ...]) -> tuple[Plan, str]:
    """A plan and its key, looked for in `folders` and beside the inventory that the plan names.

    Raises ProvisionError for a file that is cut, garbled, edited, or of another version, and where the key is not here.
    """
    try:
        if path.stat().st_size > _MOST:
            raise _refused(path, f"it is larger than {_MOST >> 20} MiB")
        text = path.read_bytes().decode("utf-8", "surrogatepass")
    except OSError as error:
        raise ProvisionError(f"cannot read the plan `{path}`", cause=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _refused(path, "it is garbled: it is not UTF-8") from None
    head, line, body = text.partition("\n")
    words = head.split(" ")
    if len(words) < 2 or not words[1].isdigit():
        raise _refused(path, "it is garbled: its first line is not that of a plan")
    if int(words[1]) != VERSION:
        raise _refused(path, f"its version is {words[1]}, and this provision reads version {VERSION}")
    if len(words) != 4 or not line:
        raise _refused(path, "it is cut or garbled: its first line is not whole")
    if not body.endswith("}\n"):
        raise _refused(path, "it is cut: its end is missing")
    key = keys.known(words[2], (*folders, *_named(body)))
    if key is None:
        raise ProvisionError(
            f"the key of the plan `{path}` is not here",
            cause=f"it was kept as `.provision/plans/{words[2]}.key` beside the inventory, by who made the plan",
            hint="apply the plan where it was made, bring the key here by a safe way, or " + _AGAIN,
        )
    if not hmac.compare_digest(_seal(body, key), words[3]):
        raise _refused(path, "its content is not what was written: it was edited or garbled")
    plan = _parsed(path, body)
    if plan.id != words[2]:
        raise _refused(path, "its first line is that of another plan")
    return plan, key


def _named(body: str) -> list[Path]:
    """Where an unproven plan says that its inventory is: a place to look for a key, and no more."""
    try:
        chosen = json.loads(body)["selection"]
        return keys.folders([Path(str(chosen["directory"]), str(each)) for each in chosen["inventory"]])
    except (ValueError, KeyError, TypeError):
        return []


def _parsed(path: Path, body: str) -> Plan:
    try:
        content = json.loads(body)
        hosts = {
            str(name): HostPlan(tuple(_step(step) for step in part["steps"]), part["incomplete"])
            for name, part in content.pop("hosts").items()
        }
        return Plan(**content, hosts=hosts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused(path, f"it is garbled: {error}") from None


def _step(values: Mapping[str, Any]) -> Planned:
    return Planned(
        **{**values, "actions": tuple(values.get("actions", ())), "notifies": tuple(values.get("notifies", ()))}
    )


def _plain(plan: Plan) -> dict[str, Any]:
    hosts = {
        name: {"steps": [_short(step) for step in part.steps], "incomplete": part.incomplete}
        for name, part in plan.hosts.items()
    }
    return {**{each.name: getattr(plan, each.name) for each in fields(plan)}, "hosts": hosts}


def _short(step: Planned) -> dict[str, Any]:
    """A step without what is as usual."""
    usual = Planned(0, "", "")
    values = {each.name: getattr(step, each.name) for each in fields(step)}
    kept = ("play", "title", "where")
    return {name: value for name, value in values.items() if name in kept or value != getattr(usual, name)}


def _seal(body: str, key: str) -> str:
    data = body.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, key=f"seal {key}".encode()[:64], digest_size=32).hexdigest()


def _refused(path: Path, cause: str) -> ProvisionError:
    return ProvisionError(f"the plan `{path}` cannot be used", cause=cause, hint=_AGAIN)
